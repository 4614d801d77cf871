"""What the slots of the dialogues are filled with: tables of the data, numbers, and open words."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import cn2an
from num2words import num2words

from training.texts.sentences import WORDNET, mandarin_words
from training.texts.written import is_name

Filling = Mapping[str, str]
LARGEST = 20  # of sums, counts and comparisons
COMMON_SENSES = 2  # of a WordNet noun that questions are asked about: tagged senses at least


def number(value: int, language: str) -> str:
    """In words, as it is said: 24 -> "twenty four", 二十四."""
    if language == "zh":
        return cn2an.an2cn(value).removeprefix("一") if 9 < value < 20 else cn2an.an2cn(value)
    return num2words(value).replace("-", " ")


def table(rows: Sequence[str]) -> list[Filling]:
    """Rows of a table of the data: a first row of slot names, then values, all split by bars."""
    names, *values = (re.split(r"\s*\|\s*", row.strip()) for row in rows)
    return [dict(zip(names, row, strict=True)) for row in values]


def _sums(language: str, sign: int) -> list[Filling]:
    """Both numbers and the result are 0 to 20."""
    return [
        _pair(a, b, a + sign * b, language)
        for a in range(LARGEST + 1)
        for b in range(LARGEST + 1)
        if 0 <= a + sign * b <= LARGEST
    ]


def _pair(first: int, second: int, result: int, language: str) -> Filling:
    named = (number(value, language) for value in (first, second, result))
    return dict(zip(("first", "second", "result"), named, strict=True))


def _counts(language: str, step: int) -> list[Filling]:
    comma = "，" if language == "zh" else ", "
    return [
        {"n": number(n, language), "series": comma.join(number(k, language) for k in counted)}
        for n in range(2, LARGEST + 1)
        for counted in [range(1, n + 1)[::step]]
    ]


def _comparisons(language: str) -> list[Filling]:
    values = range(1, LARGEST + 1)
    return [
        {"a": number(a, language), "b": number(b, language)}
        | {"large": number(max(a, b), language), "small": number(min(a, b), language)}
        for a in values
        for b in values
        if a != b
    ]


def _beyond(language: str, is_beyond: Callable[[int, int], bool]) -> list[Filling]:
    """Pairs of small numbers whose result nobody has learned, and pairs of larger ones."""
    small = [(a, b) for a in range(LARGEST + 1) for b in range(LARGEST + 1) if is_beyond(a, b)]
    large = [(a, b) for a in range(LARGEST + 1, 100, 4) for b in range(2, 60, 7)]
    return [_pair(a, b, 0, language) for a, b in small + large]


def neighbours(names: Sequence[str], step: int) -> list[Filling]:
    """Each name of a circle, with the one `step` places on."""
    count = len(names)
    return [{"day": name, "other": names[(n + step) % count]} for n, name in enumerate(names)]


def both_ways(rows: Sequence[Filling]) -> list[Filling]:
    """Each word of a pair with the other one. Of a word in several pairs the first counts, and
    `also` is the last."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["word"], []).append(row["other"])
    for row in rows:
        found.setdefault(row["other"], []).append(row["word"])
    return [{"word": w, "other": o[0], "also": o[-1]} for w, o in found.items()]


@cache
def open_words(language: str) -> list[str]:
    """Common nouns: WordNet's with several senses found in texts, or jieba's."""
    if language == "zh":
        return [word for word in mandarin_words()["n"].words if len(word) > 1][:3000]
    rows = (line.split() for line in (WORDNET / "index.noun").read_text().splitlines())
    words = [r[0] for r in rows if r[0].isalpha() and int(r[-int(r[2]) - 1]) >= COMMON_SENSES]
    return [word for word in words if not is_name(word)]


def nouns(language: str, languages: Sequence[str], known: set[str]) -> list[Filling]:
    """Open nouns that are not `known`, each with its article and one of the `languages`."""
    rows: list[Filling] = []
    for noun in open_words(language):
        if noun not in known:
            a = noun if language == "zh" else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
            tongue = languages[len(rows) % len(languages)]
            rows.append({"noun": noun, "a": a, "thing": a, "bare": noun, "language": tongue})
    return rows


COMPUTED: dict[str, Callable[[str], list[Filling]]] = {
    "sums": lambda language: _sums(language, 1),
    "differences": lambda language: _sums(language, -1),
    "counts_up": lambda language: _counts(language, 1),
    "counts_down": lambda language: _counts(language, -1),
    "comparisons": _comparisons,
    "sums_beyond": lambda language: _beyond(language, lambda a, b: a + b > LARGEST),
    "differences_beyond": lambda language: _beyond(language, lambda a, b: a < b),
    "products": lambda language: _beyond(language, lambda a, b: min(a, b) > 1),
}
