"""Texts cut into what is spoken at once: sentences, and the clauses of long ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sentencex

from kimi_demo.text import language_of

CLAUSE_PAUSE_S = 0.1
SENTENCE_PAUSE_S = 0.25
PARAGRAPH_PAUSE_S = 0.5

_BROKEN_LINE = re.compile(r"(?<=[a-z,])\n(?=[a-z])")  # as in mails: the sentence goes on
_CLAUSE_END = re.compile(r"[,;:](?=\s)|[，；：、]|\s[-–—]+(?=\s)")
_WORD_END = re.compile(r"\s+")


@dataclass(frozen=True)
class Passage:
    """What one turn speaks; pause_s of silence goes before it."""

    text: str
    pause_s: float


def passages(text: str, language: str, max_chars: int) -> list[Passage]:
    """Sentences, and the clauses of those longer than max_chars; without what has no word."""
    found: list[Passage] = []
    for paragraph in _BROKEN_LINE.sub(" ", text).splitlines():
        pause_s = PARAGRAPH_PAUSE_S
        for sentence in sentencex.segment(language or language_of(paragraph), paragraph):
            for clause in _fitting(sentence, max_chars):
                if any(character.isalnum() for character in clause):
                    found.append(Passage(clause, pause_s if found else 0.0))
                    pause_s = CLAUSE_PAUSE_S
            pause_s = max(pause_s, SENTENCE_PAUSE_S)
    return found


def _fitting(sentence: str, max_chars: int) -> Iterator[str]:
    """The sentence, cut where it hurts least until every piece fits."""
    rest = sentence.strip()
    while len(rest) > max_chars:
        cut = _last_end(_CLAUSE_END, rest, max_chars) or _last_end(_WORD_END, rest, max_chars)
        cut = cut or max_chars
        yield rest[:cut].strip()
        rest = rest[cut:].strip()
    yield rest


def _last_end(pattern: re.Pattern[str], text: str, limit: int) -> int:
    """Where the last match within the limit ends; 0 if it leaves too little before it."""
    ends = [match.end() for match in pattern.finditer(text, 0, limit)]
    return ends[-1] if ends and ends[-1] > limit // 4 else 0
