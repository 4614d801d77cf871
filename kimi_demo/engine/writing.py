"""Ids of the text stream as events. A checkpoint may first write down for itself what it heard,
between two marks of its own; that is told apart from the answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from kimi_demo.events import HeardDelta, TextDelta
from kimi_demo.model.text_tokenizer import HasPieces, IncrementalDecoder
from kimi_demo.model.vocabulary import Vocabulary


class WrittenAnswer:
    """Decodes one answer. Where the mark that ends the echo never comes, all of it is echo."""

    def __init__(self, tokenizer: HasPieces, vocabulary: Vocabulary) -> None:
        self._decoder = IncrementalDecoder(tokenizer)
        self._delta: type[HeardDelta | TextDelta] = TextDelta
        self._marks: dict[int | None, type[HeardDelta | TextDelta]] = {
            vocabulary.echo_begin: HeardDelta,
            vocabulary.echo_end: TextDelta,
        }

    def push(self, token: int) -> Iterator[HeardDelta | TextDelta]:
        """What this id completes; often one delta, sometimes none."""
        if token in self._marks:
            yield from self.flush()
            self._delta = self._marks[token]
        else:
            yield from self._told(self._decoder.push(token))

    def flush(self) -> Iterator[HeardDelta | TextDelta]:
        """What is still held back of a broken character."""
        yield from self._told(self._decoder.flush())

    def _told(self, text: str) -> Iterator[HeardDelta | TextDelta]:
        if text:
            yield self._delta(text)
