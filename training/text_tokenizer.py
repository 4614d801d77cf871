"""Learns the text ids: byte-level BPE, one id a Mandarin character, control marks, phone pieces.

Layout: base ranks (256 bytes, merges, hanzi with the beginnings of their bytes), control tokens, a
token for each piece of phones, one reserve, pad. Audio codes follow.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Steps
from tokenizers.trainers import BpeTrainer

from kimi_demo.model.text_tokenizer import (
    CONFIG_FILE,
    RANKS_FILE,
    SPECIAL_TOKENS_KEY,
    SPLIT_PATTERN,
    TextTokenizer,
    write_ranks,
)
from kimi_demo.model.vocabulary import published_special_tokens
from training.alphabet import choose_pieces, count_pieces, units
from training.shards import Utterance
from training.timing import read_timed

logger = logging.getLogger(__name__)

MERGES = 700
PIECES = {"en": 420, "zh": 330}
ECHO_MARKS = ("<|echo_begin|>", "<|echo_end|>")
MARKS = "，。？！、：；“”（）《》…—"
_PIECE = "<|p:{}|>"


def piece_token(piece: str) -> str:
    """The special token that stands in the text stream while a piece is spoken."""
    return _PIECE.format(piece)


def pieces_of(tokenizer: TextTokenizer) -> list[str]:
    """The pieces of a trained tokenizer, in the order of their ids."""
    prefix, suffix = _PIECE.split("{}")
    names = (name for name in tokenizer.special_ids if name.startswith(prefix))
    return [name.removeprefix(prefix).removesuffix(suffix) for name in names]


def text_ids_of(tokenizer: TextTokenizer) -> int:
    """Number of text ids, pad included."""
    return max(tokenizer.special_ids.values()) + 2


def train(
    texts: Iterable[str], hanzi: Iterable[str], pieces: Sequence[str], out: Path
) -> TextTokenizer:
    """Writes both tokenizer files into `out`; the same texts give the same files."""
    ranks = with_characters(learn_ranks(texts, MERGES), [*hanzi, *MARKS])
    named = (name for name in published_special_tokens() if "reserved" not in name)
    special = (*named, *ECHO_MARKS, *map(piece_token, pieces))
    out.mkdir(parents=True, exist_ok=True)
    write_ranks(out / RANKS_FILE, ranks)
    config = {SPECIAL_TOKENS_KEY: special}
    (out / CONFIG_FILE).write_text(
        json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return TextTokenizer.load(out)


def learn_ranks(texts: Iterable[str], merges: int) -> dict[bytes, int]:
    """Bytes to rank: every single byte under its own value, then the merges, most useful first."""
    tokenizer = Tokenizer(BPE())
    split = Split(Regex(SPLIT_PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = Steps([split, ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = BpeTrainer(
        vocab_size=256 + merges,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    byte_of = _byte_of_letter()
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    learned = (bytes(byte_of[letter] for letter in piece) for piece, _ in by_id)
    merged = [piece for piece in learned if len(piece) > 1]
    ranks = {bytes([value]): value for value in range(256)}
    return ranks | {piece: 256 + n for n, piece in enumerate(merged)}


def with_characters(ranks: dict[bytes, int], characters: Iterable[str]) -> dict[bytes, int]:
    """Appends a rank for each character, and for the beginnings through which bytes merge into it.

    Nothing merges across characters, so that each is one step of the language model.
    """
    encoded = [character.encode() for character in sorted(set(characters))]
    beginnings = (c[:length] for length in (2, 3, 4) for c in encoded if len(c) >= length)
    new = (piece for piece in dict.fromkeys(beginnings) if piece not in ranks)
    return ranks | {piece: len(ranks) + n for n, piece in enumerate(new)}


def common_pieces(utterances: Sequence[Utterance]) -> list[str]:
    """The pieces that the language model may say."""
    chosen: dict[str, None] = {}
    for language, size in PIECES.items():
        spoken = [u for u in utterances if u.language == language]
        singles = {unit for u in spoken for _, unit in units(u)}
        chosen |= dict.fromkeys(choose_pieces(count_pieces(spoken), singles, size))
    return list(chosen)


def _byte_of_letter() -> dict[str, int]:
    """The byte behind each letter of GPT-2's printable alphabet: bytes that print stand for
    themselves, the others take the code points from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [value for value in range(256) if value not in set(printable)]
    letters = {chr(value): value for value in printable}
    return letters | {chr(256 + n): value for n, value in enumerate(hidden)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timed", type=Path, nargs="+", required=True, help=".jsonl of `timing`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two tokenizer files")


def run(args: argparse.Namespace) -> None:
    """Learns from English texts, hanzi by frequency, and the pieces of all."""
    from training.texts.sentences import HANZI

    utterances = [u for path in args.timed for u in read_timed(path)]
    texts = [u.text for u in utterances if u.language == "en"]
    tokenizer = train(texts, HANZI, common_pieces(utterances), args.out)
    words = sum(len(text.split()) for text in texts)
    ids = sum(len(tokenizer.encode(text)) for text in texts)
    logger.info("%d text ids, %.2f a word", text_ids_of(tokenizer), ids / words)
