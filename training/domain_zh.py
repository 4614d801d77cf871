"""The Mandarin sentences the embedded model learns from.

Three sources, drawn by weight: templates of everyday talk, a small grammar, and random words of the
domain. They lie in `grammar_zh.txt` and `vocabulary_zh.txt`; `grammar.py` expands them.

A sentence is 3 to 16 simplified characters without spaces, with '，' allowed, that end in '。' or
'？'.
"""

import random
import re
from functools import cache
from pathlib import Path

from training import grammar, numerals_zh
from training.sentences import Sentences

MAX_WORD_HANZI = 2
HELD_OUT_COUNT = 100

_HERE = Path(__file__).parent
VOCABULARY_PATH = _HERE / "vocabulary_zh.txt"
GRAMMAR_PATH = _HERE / "grammar_zh.txt"

_HANZI = 3, 16
MAX_WORD_HANZI = 2
HELD_OUT_COUNT = 100

_HERE = Path(__file__).parent
VOCABULARY_PATH = _HERE / "vocabulary_zh.txt"
GRAMMAR_PATH = _HERE / "grammar_zh.txt"

# Shares of the three sources.
SOURCE_WEIGHTS = {"template": 45, "grammar": 40, "domain words": 15}
_HANZI = re.compile(r"[\u4e00-\u9fff]")


def hanzi_of(text: str) -> str:
    """The characters of a sentence without punctuation or spaces."""
    return "".join(_HANZI.findall(text))


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


SENTENCES = Sentences(
    makers={
        "template": lambda rng: _expand("template", rng),
        "grammar": lambda rng: _expand("sentence", rng),
        "domain words": _random_domain_words,
    },
    weights={"template": 45, "grammar": 40, "domain words": 15},
    units_of=hanzi_of,
    lengths=range(3, 17),
    held_out_lengths={"template": range(4, 15), "grammar": range(4, 15)},
    held_out_path=_HERE / "heldout_zh.txt",
)

if __name__ == "__main__":
    SENTENCES.write_held_out(HELD_OUT_COUNT)
