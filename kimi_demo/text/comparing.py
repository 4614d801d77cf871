"""Which words of one text are not in another: of what is said, those that were not written so; of
what was meant, those that were not heard so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rapidfuzz.distance import Indel

from kimi_demo.text.characters import HAN

_WORD = re.compile(rf"[{HAN}]|(?:(?![{HAN}_])\w)+(?:['’-](?:(?![{HAN}_])\w)+)*")


@dataclass(frozen=True)
class Piece:
    """A part of a text. differs: the other text has other words here. words: hanzi count as one."""

    text: str
    differs: bool
    words: int


def compared(text: str, other: str) -> tuple[Piece, ...]:
    """The whole text, cut where agreement with the other begins and ends; case and marks count in
    neither.
    """
    found = list(_WORD.finditer(text))
    words = [_plain(match[0]) for match in found]
    others = [_plain(word) for word in _WORD.findall(other)]
    pieces, start = [], 0
    for step in Indel.opcodes(words, others):
        if step.tag == "insert":  # what only the other text has
            continue
        first, end = found[step.src_start], found[step.src_end - 1]
        if step.tag != "equal":  # spaces and marks between belong to what agrees
            pieces.append(Piece(text[start : first.start()], False, 0))
            start = first.start()
        words_here = step.src_end - step.src_start
        pieces.append(Piece(text[start : end.end()], step.tag != "equal", words_here))
        start = end.end()
    pieces.append(Piece(text[start:], False, 0))
    return tuple(piece for piece in pieces if piece.text)


def _plain(word: str) -> str:
    return word.casefold().replace("’", "'")
