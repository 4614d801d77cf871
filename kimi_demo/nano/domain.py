"""The English sentences the embedded model learns from.

Four sources, drawn by weight: templates of everyday talk, a small grammar, random words of the
domain, and random words of a dictionary. Templates, grammar and words lie in `grammar_en.txt` and
`vocabulary_en.txt`, in the notation explained at their heads; `grammar.py` expands them.

A sentence is lower-case words, with commas allowed, that end in '.' or '?'. The same generator
state gives the same sentence. One sentence in `HELD_OUT_PERIOD` belongs to evaluation, by a hash of
its words, and must not be trained on.
"""

import argparse
import hashlib
import random
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from kimi_demo.nano import grammar, inflection, numerals

MIN_WORDS, MAX_WORDS = 2, 14
HELD_OUT_PERIOD = 40
HELD_OUT_COUNT = 120

_HERE = Path(__file__).parent
VOCABULARY_PATH = _HERE / "vocabulary_en.txt"
GRAMMAR_PATH = _HERE / "grammar_en.txt"
HELD_OUT_PATH = _HERE / "heldout_en.txt"
DICTIONARY_PATH = Path("/usr/share/dict/words")

# Shares of the four sources.
SOURCE_WEIGHTS = {"template": 45, "grammar": 35, "domain words": 12, "dictionary words": 8}
_SLOT = grammar.SLOT
_WORD = re.compile(r"[a-z']+")


def words_of(text: str) -> list[str]:
    """The words of a sentence, in lower case, without the punctuation."""
    return _WORD.findall(text.lower())


def is_held_out(text: str) -> bool:
    """Whether a sentence belongs to evaluation. Case, commas and the final mark do not matter."""
    digest = hashlib.sha1(" ".join(words_of(text)).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_PERIOD == 0


@cache
def word_classes() -> grammar.WordClasses:
    """The classes of vocabulary_en.txt: name to entries, irregular forms still attached."""
    return grammar.read_word_classes(VOCABULARY_PATH)


@cache
def _rules() -> grammar.Rules:
    return grammar.read_rules(GRAMMAR_PATH, word_classes())


def _expand(rule: str, rng: random.Random) -> str:
    return grammar.expand(rule, rng, _rules(), numerals.SLOTS, inflection.inflected)


def _tidied(text: str) -> str:
    """Close the gaps that empty adjuncts leave, and say `an` before a vowel."""
    text = re.sub(r" ([.,?])", r"\1", re.sub(r" +", " ", text)).strip()
    return re.sub(r"\ba (?=(?!one\b|euro|use|uni)[aeiou]|hour\b)", "an ", text)


@cache
def domain_words() -> tuple[str, ...]:
    """Every word of the domain once, irregular forms included."""
    entries = (entry for entries in word_classes().values() for entry in entries)
    return tuple(sorted({word for entry in entries for word in re.split(r"[/~]", entry)}))


@cache
def _dictionary_words() -> tuple[str, ...]:
    """Lower-case ASCII words of 2 to 10 letters; empty if the machine has no dictionary."""
    if not DICTIONARY_PATH.exists():
        return ()
    words = DICTIONARY_PATH.read_text(encoding="utf-8").split()
    return tuple(word for word in words if re.fullmatch("[a-z]{2,10}", word))


def _template(rng: random.Random) -> str:
    return _tidied(_expand("template", rng))


def _grammatical(rng: random.Random) -> str:
    return _tidied(_expand("sentence", rng))


def _random_domain_words(rng: random.Random) -> str:
    """3 to 8 words in any order, some of them inflected: no context to guess a word from."""
    classes = word_classes()
    nouns = (*classes["thing"], *classes["human"], *classes["place"], *classes["animal"])
    verbs = (*classes["verb_thing"], *classes["verb_simple"], *classes["verb_person"])
    words = []
    for _ in range(rng.randint(3, 8)):
        kind = rng.random()
        if kind < 0.15:
            words.append(inflection.inflected(rng.choice(nouns), "s"))
        elif kind < 0.3:
            words.append(inflection.inflected(rng.choice(verbs), rng.choice(("s", "past", "ing"))))
        else:
            words.append(rng.choice(domain_words()))
    return " ".join(words) + rng.choice("...?")


def _random_dictionary_words(rng: random.Random) -> str:
    """2 to 5 dictionary words with function words strewn in: sounds the domain does not have."""
    dictionary = _dictionary_words()
    if not dictionary:
        return _random_domain_words(rng)
    words = []
    for _ in range(rng.randint(2, 5)):
        if rng.random() < 0.4:
            words.append(rng.choice(word_classes()["function"]))
        words.append(rng.choice(dictionary))
    return " ".join(words) + "."


_SOURCES: dict[str, Callable[[random.Random], str]] = {
    "template": _template,
    "grammar": _grammatical,
    "domain words": _random_domain_words,
    "dictionary words": _random_dictionary_words,
}


def sentence(rng: random.Random, sources: Iterable[str] = tuple(SOURCE_WEIGHTS)) -> str:
    """One sentence of 2 to 14 words from any source; it may be a held-out one."""
    names = tuple(sources)
    weights = [SOURCE_WEIGHTS[name] for name in names]
    make = _SOURCES[rng.choices(names, weights=weights)[0]]
    while True:
        text = make(rng)
        if MIN_WORDS <= len(words_of(text)) <= MAX_WORDS:
            return text


def training_sentence(rng: random.Random) -> str:
    """One sentence that is not held out."""
    while True:
        text = sentence(rng)
        if not is_held_out(text):
            return text


def build_held_out(seed: int = 7, count: int = HELD_OUT_COUNT) -> list[str]:
    """Different held-out sentences: three of templates, then one short one of the grammar."""
    rng, kept = random.Random(seed), {}
    while len(kept) < count:
        source, most_words = ("grammar", 7) if len(kept) % 4 == 3 else ("template", 10)
        text = sentence(rng, (source,))
        if is_held_out(text) and 3 <= len(words_of(text)) <= most_words:
            kept.setdefault(" ".join(words_of(text)), text)
    return list(kept.values())


def read_held_out() -> list[str]:
    """The sentences evaluation uses, as they are committed."""
    return HELD_OUT_PATH.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the held-out sentences.")
    parser.add_argument("--out", type=Path, default=HELD_OUT_PATH)
    arguments = parser.parse_args()
    arguments.out.write_text("\n".join(build_held_out()) + "\n", encoding="utf-8")
