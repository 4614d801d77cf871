"""The Mandarin sentences the embedded model learns from.

Three sources, drawn by weight: templates of everyday talk, a small grammar, and random words of the
domain. They lie in `grammar_zh.txt` and `vocabulary_zh.txt`; `grammar.py` expands them.

A sentence is 3 to 16 simplified characters without spaces, with '，' allowed, that end in '。' or
'？'. The same generator state gives the same sentence. One sentence in `HELD_OUT_PERIOD` belongs to
evaluation, by a hash of its characters, and must not be trained on.
"""

import argparse
import hashlib
import random
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from kimi_demo.nano import grammar, numerals_zh

MIN_HANZI, MAX_HANZI = 3, 16
MAX_WORD_HANZI = 2
HELD_OUT_PERIOD = 40
HELD_OUT_COUNT = 100
HELD_OUT_MIN_HANZI, HELD_OUT_MAX_HANZI = 4, 14

_HERE = Path(__file__).parent
VOCABULARY_PATH = _HERE / "vocabulary_zh.txt"
GRAMMAR_PATH = _HERE / "grammar_zh.txt"
HELD_OUT_PATH = _HERE / "heldout_zh.txt"

# Shares of the three sources.
SOURCE_WEIGHTS = {"template": 45, "grammar": 40, "domain words": 15}
_HANZI = re.compile(r"[\u4e00-\u9fff]")


def hanzi_of(text: str) -> str:
    """The characters of a sentence without punctuation or spaces."""
    return "".join(_HANZI.findall(text))


def is_held_out(text: str) -> bool:
    """Whether a sentence belongs to evaluation. Punctuation does not matter."""
    digest = hashlib.sha1(hanzi_of(text).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_PERIOD == 0


@cache
def word_classes() -> grammar.WordClasses:
    """The classes of vocabulary_zh.txt: name to words."""
    return grammar.read_word_classes(VOCABULARY_PATH)


@cache
def rules() -> grammar.Rules:
    """The rules of grammar_zh.txt and the word classes."""
    return grammar.read_rules(GRAMMAR_PATH, word_classes())


@cache
def domain_words() -> tuple[str, ...]:
    """Every word of the vocabulary once; longer entries, mostly phrases, are not among them."""
    entries = {word for words in word_classes().values() for word in words}
    return tuple(sorted(word for word in entries if len(word) <= MAX_WORD_HANZI))


@cache
def characters() -> tuple[str, ...]:
    """Every character that a sentence can contain, without punctuation, in code point order."""
    fixed = "".join(line for lines, _ in rules().values() for line in lines)
    computed = numerals_zh.HANZI + "".join(map("".join, numerals_zh.CAPITALS.items()))
    return tuple(sorted(set(hanzi_of(fixed + computed))))


def _expand(rule: str, rng: random.Random) -> str:
    return grammar.expand(rule, rng, rules(), numerals_zh.SLOTS)


def _random_domain_words(rng: random.Random) -> str:
    """3 to 6 words in any order: no context to guess a word from."""
    words = [rng.choice(domain_words()) for _ in range(rng.randint(3, 6))]
    return "".join(words) + rng.choice("。。。？")


_SOURCES: dict[str, Callable[[random.Random], str]] = {
    "template": lambda rng: _expand("template", rng),
    "grammar": lambda rng: _expand("sentence", rng),
    "domain words": _random_domain_words,
}


def sentence(rng: random.Random, sources: Iterable[str] = tuple(SOURCE_WEIGHTS)) -> str:
    """One sentence of 3 to 16 characters from any source; it may be a held-out one."""
    names = tuple(sources)
    make = _SOURCES[rng.choices(names, weights=[SOURCE_WEIGHTS[name] for name in names])[0]]
    while True:
        text = make(rng)
        if MIN_HANZI <= len(hanzi_of(text)) <= MAX_HANZI:
            return text


def training_sentence(rng: random.Random) -> str:
    """One sentence that is not held out."""
    while True:
        text = sentence(rng)
        if not is_held_out(text):
            return text


def build_held_out(seed: int = 7, count: int = HELD_OUT_COUNT) -> list[str]:
    """Different held-out sentences: three of templates, then one of the grammar."""
    rng, kept = random.Random(seed), {}
    while len(kept) < count:
        text = sentence(rng, ("grammar" if len(kept) % 4 == 3 else "template",))
        hanzi = hanzi_of(text)
        if is_held_out(text) and HELD_OUT_MIN_HANZI <= len(hanzi) <= HELD_OUT_MAX_HANZI:
            kept.setdefault(hanzi, text)
    return list(kept.values())


def read_held_out() -> list[str]:
    """The sentences evaluation uses, as they are committed."""
    return HELD_OUT_PATH.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the held-out Mandarin sentences.")
    parser.add_argument("--out", type=Path, default=HELD_OUT_PATH)
    arguments = parser.parse_args()
    arguments.out.write_text("\n".join(build_held_out()) + "\n", encoding="utf-8")
