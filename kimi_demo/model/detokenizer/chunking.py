"""Cuts a growing sequence of semantic tokens into the chunks that flow matching works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kimi_demo.model.detokenizer.config import StreamingConfig


@dataclass(frozen=True)
class Chunk:
    """Tokens to generate mel for; the last `look_ahead` of them come again in the next chunk."""

    tokens: tuple[int, ...]
    look_ahead: int
    is_final: bool

    @property
    def finished_tokens(self) -> int:
        return len(self.tokens) - self.look_ahead


class Chunker:
    """Hands out a chunk as soon as a token beyond it has been seen.

    Only then is it certain that the chunk is not the last one, which is cut differently. How tokens
    are grouped when pushed therefore has no bearing on the chunks.
    """

    def __init__(self, config: StreamingConfig) -> None:
        self._config = config
        self._carried: tuple[int, ...] = ()  # the look-ahead of the chunk before
        self._new: list[int] = []
        self._needed = config.first_chunk_tokens

    def push(self, tokens: Sequence[int]) -> Iterator[Chunk]:
        """Yields every chunk that `tokens` completes."""
        self._new.extend(tokens)
        while len(self._new) > self._needed:
            yield self._cut()

    def flush(self) -> Chunk | None:
        """The final chunk: all that is left, or None if there never was a token."""
        tokens = self._carried + tuple(self._new)
        self._carried, self._new = (), []
        self._needed = self._config.first_chunk_tokens
        return Chunk(tokens, look_ahead=0, is_final=True) if tokens else None

    def _cut(self) -> Chunk:
        look_ahead = self._config.look_ahead_tokens
        tokens = self._carried + tuple(self._new[: self._needed])
        del self._new[: self._needed]
        self._carried = tokens[len(tokens) - look_ahead :]
        self._needed = self._config.chunk_tokens
        return Chunk(tokens, look_ahead, is_final=False)
