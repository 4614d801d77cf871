"""Text to ids and back: byte-level BPE over the published `tiktoken.model`.

What people type is only ever text: a control marker in it is spelled out letter by letter, so that
no input can forge a turn. Special ids and audio ids are never displayed.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import tiktoken

from kimi_demo.errors import CheckpointError
from kimi_demo.model.vocabulary import published_special_tokens

RANKS_FILE = "tiktoken.model"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_KEY = "special_tokens"

# Cuts text before merging; the one of Qwen2.5, whose ranks the release uses.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class TextTokenizer:
    """Encodes and decodes text with `ranks`; `special_ids` maps the names behind them to ids.

    ranks: bytes to id, 0 ... len(ranks) - 1, with every single byte among them.
    special_tokens: names in the order of their ids, which follow the ranks.
    Raises: CheckpointError if the ranks have holes.
    """

    def __init__(self, ranks: Mapping[bytes, int], special_tokens: Sequence[str] = ()) -> None:
        _check_ranks(ranks)
        self._pieces = tuple(sorted(ranks, key=ranks.__getitem__))
        self._encoding = tiktoken.Encoding(
            "text", pat_str=SPLIT_PATTERN, mergeable_ranks=dict(ranks), special_tokens={}
        )
        self.special_ids = {name: len(ranks) + n for n, name in enumerate(special_tokens)}

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Reads `tiktoken.model` and, where `tokenizer_config.json` lists `special_tokens`, their
        names; without that list they are those of the release.

        Raises: CheckpointError if a file is missing or broken.
        """
        return cls(read_ranks(folder / RANKS_FILE), _read_special_tokens(folder / CONFIG_FILE))

    @property
    def base_tokens(self) -> int:
        """How many ids stand for text; special ids follow."""
        return len(self._pieces)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; half a surrogate pair becomes U+FFFD."""
        return self._encoding.encode_ordinary(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; special, audio and unknown ids are dropped, broken characters are U+FFFD."""
        return b"".join(map(self.piece, ids)).decode("utf-8", errors="replace")

    def piece(self, token: int) -> bytes:
        """The bytes of one id, perhaps half a character; none if the id is not displayed."""
        return self._pieces[token] if 0 <= token < len(self._pieces) else b""


class HasPieces(Protocol):
    """Knows the bytes behind an id."""

    def piece(self, token: int) -> bytes: ...


class IncrementalDecoder:
    """Decodes ids as they come; holds the bytes of an unfinished character back."""

    def __init__(self, tokenizer: HasPieces) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The characters that this id completes; often one, sometimes none."""
        return self._decoder.decode(self._tokenizer.piece(token))

    def flush(self) -> str:
        """What is still held back, as U+FFFD; the decoder is as new afterwards."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


def read_ranks(path: Path) -> dict[bytes, int]:
    """Reads lines of "base64 rank".

    Raises: CheckpointError if the file is missing or a line is not of this form.
    """
    try:
        lines = path.read_bytes().splitlines()
        fields = (line.split() for line in lines if line)
        return {base64.b64decode(piece, validate=True): int(rank) for piece, rank in fields}
    except (OSError, ValueError, binascii.Error) as exc:
        raise CheckpointError(f"{path.name} is missing or broken: {exc}") from exc


def write_ranks(path: Path, ranks: Mapping[bytes, int]) -> None:
    """Writes what `read_ranks` reads, in the order of the ranks."""
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    lines = [f"{base64.b64encode(piece).decode()} {rank}\n" for piece, rank in ordered]
    path.write_text("".join(lines), encoding="ascii", newline="\n")


def _read_special_tokens(path: Path) -> Sequence[str]:
    if not path.exists():
        return published_special_tokens()
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return tuple(config.get(SPECIAL_TOKENS_KEY, published_special_tokens()))
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        raise CheckpointError(f"{path.name} is broken: {exc}") from exc


def _check_ranks(ranks: Mapping[bytes, int]) -> None:
    """tiktoken itself aborts on such tables, or only much later."""
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise CheckpointError(f"{RANKS_FILE}: the ranks are not 0 ... {len(ranks) - 1}")
    if any(bytes([value]) not in ranks for value in range(256)):
        raise CheckpointError(f"{RANKS_FILE}: some single bytes have no rank")
