"""Sentences of an open vocabulary: WordNet's examples, and patterns over jieba's dictionary."""

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import jieba
import yaml
import zhconv

from training.texts.written import with_digits

WORDNET = Path("/usr/share/wordnet")  # Debian's wordnet-base; Princeton's licence
HELD_OUT_PERIOD = 40  # the shards of speech leave out one sentence in so many
COMMON_HANZI = 3300
MIN_WORD_FREQUENCY = 300  # of jieba's dictionary, about 60 million words

_DATA = Path(__file__).parent / "dialogues"
_COUNTED = re.compile("[^a-z\u4e00-\u9fff']")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z' ,;:\-]*[A-Za-z'][.!?]?")
_SLOT = re.compile(r"\{(\w+)\}")


def is_held_out(text: str) -> bool:
    """Whether a sentence is kept for evaluation, by its letters and hanzi alone."""
    letters = _COUNTED.sub("", text.lower())
    digest = hashlib.sha1(letters.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % HELD_OUT_PERIOD == 0


def wordnet_examples(folder: Path = WORDNET) -> list[str]:
    """The example sentences of WordNet's glosses as they stand there, in file order, each once.

    Raises: FileNotFoundError if the folder holds no data files.
    """
    files = sorted(folder.glob("data.*"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no WordNet data files; install wordnet-base")
    quoted = (
        quote.strip()
        for file in files
        for quote in re.findall(r'"([^"]{8,110})"', file.read_text(errors="ignore"))
    )
    return [text for text in dict.fromkeys(quoted) if _PLAIN.fullmatch(text)]


def wordnet_definitions(folder: Path = WORDNET) -> list[str]:
    """What stands before the examples of a gloss, without what is in brackets, each once."""
    glosses = (
        line.partition(" | ")[2].partition('"')[0]
        for file in sorted(folder.glob("data.*"))
        for line in file.read_text(errors="ignore").splitlines()
        if not line.startswith(" ")
    )
    parts = (
        re.sub(r"\s+", " ", re.sub(r"\([^)]*\)", " ", part)).strip(" ,:")
        for gloss in glosses
        for part in gloss.split(";")
    )
    return [text for text in dict.fromkeys(parts) if _PLAIN.fullmatch(text)]


@cache
def english_sentences(folder: Path = WORDNET) -> list[str]:
    """WordNet's examples, see `as_sentences`."""
    return as_sentences(wordnet_examples(folder))


def as_sentences(texts: Iterable[str]) -> list[str]:
    """Those of 2 to 16 words, with a capital, a final mark and numbers as digits."""
    kept: dict[str, str] = {}
    for example in texts:
        if 2 <= len(example.split()) <= 16:
            text = re.sub(r"\s*[;:]\s*(?=[A-Z])", ". ", example)
            text = re.sub(r"\s*[;:]\s*", ", ", text).rstrip(", ")
            text = with_digits(text if text[-1] in ".!?" else text + ".", "en")
            kept.setdefault(text.lower(), text[0].upper() + text[1:])
    return list(kept.values())


@cache
def _dictionary() -> list[tuple[str, str, int]]:
    """(word, part of speech, frequency) of jieba's dictionary, simplified hanzi only."""
    path = Path(jieba.__file__).with_name("dict.txt")
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return [
        (row[0], row[2], int(row[1]))
        for row in rows
        if len(row) == 3 and re.fullmatch("[\u4e00-\u9fff]{1,4}", row[0])
    ]


def _common_hanzi() -> tuple[str, ...]:
    """The most frequent simplified hanzi and all of the dialogues, in order of code points."""
    counts: Counter[str] = Counter()
    for word, _, frequency in _dictionary():
        for character in word:
            counts[character] += frequency
    simplified = (c for c, _ in counts.most_common() if zhconv.convert(c, "zh-cn") == c)
    frequent = [c for c, _ in zip(simplified, range(COMMON_HANZI), strict=False)]
    written = "".join(file.read_text(encoding="utf-8") for file in _DATA.glob("*.yaml"))
    return tuple(sorted({*frequent, *re.findall("[\u4e00-\u9fff]", written)}))


HANZI: tuple[str, ...] = _common_hanzi()


@dataclass(frozen=True)
class Words:
    """Words of one part of speech, and their weights in drawing, summed up."""

    words: list[str]
    cumulative: list[float]


@cache
def mandarin_words() -> dict[str, Words]:
    """Words of common hanzi, the most frequent first, by part of speech (n, v, ...; nr persons,
    ns places)."""
    known, by_kind = set(HANZI), defaultdict(list)
    for word, kind, frequency in sorted(_dictionary(), key=lambda row: -row[2]):
        if frequency >= MIN_WORD_FREQUENCY and known.issuperset(word):
            slot = kind[:2] if kind[:2] in ("nr", "ns") else kind[0]
            by_kind[slot].append((word, frequency**0.5))
    return {
        slot: Words([word for word, _ in rows], list(accumulate(weight for _, weight in rows)))
        for slot, rows in by_kind.items()
    }


@cache
def _patterns() -> dict[str, list[str]]:
    path = _DATA / "sentences_zh.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def mandarin_sentences(rng: random.Random, n: int) -> list[str]:
    """`n` sentences of frequent words in patterns, ending with 。？ or ！, numbers as written."""
    return [_filled(rng.choice(_patterns()["sentences"]), rng) for _ in range(n)]


def _filled(pattern: str, rng: random.Random) -> str:
    """Slots become words, a list's entries (with slots of their own) or numbers."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name in mandarin_words():
            of = mandarin_words()[name]
            return rng.choices(of.words, cum_weights=of.cumulative)[0]
        return _SLOT.sub(fill, rng.choice(_patterns()[name]))

    return with_digits(_SLOT.sub(fill, pattern), "zh")
