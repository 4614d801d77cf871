"""Rules of reading: what is written, and what is said for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

Reading = str | Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Reading]


def rule(written: str, said: Reading, flags: int = 0) -> Rule:
    """Words and digits are those of ASCII: a hanzi beside a letter ends the word."""
    return re.compile(written, re.ASCII | flags), said


def read(text: str, rules: Iterable[Rule]) -> str:
    for written, said in rules:
        text = written.sub(said, text)
    return text


def any_of(words: Iterable[str]) -> str:
    """A pattern for one of these, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def named(symbols: Mapping[str, str], around: str = " ") -> Rule:
    """Symbols by their names, apart from the words around them."""
    return rule(any_of(symbols), lambda match: f"{around}{symbols[match[0]]}{around}")
