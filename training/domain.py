"""The English sentences the embedded model learns from.

Four sources, drawn by weight: templates of everyday talk, a small grammar, random words of the
domain, and random words of a dictionary. Templates, grammar and words lie in `grammar_en.txt` and
`vocabulary_en.txt`, in the notation explained at their heads; `grammar.py` expands them.

A sentence is 2 to 14 lower-case words, with commas allowed, that end in '.' or '?'.
"""

import random
import re
from functools import cache
from pathlib import Path

from training import grammar, inflection, numerals
from training.sentences import Sentences

HELD_OUT_COUNT = 120

_HERE = Path(__file__).parent
VOCABULARY_PATH = _HERE / "vocabulary_en.txt"
GRAMMAR_PATH = _HERE / "grammar_en.txt"
DICTIONARY_PATH = Path("/usr/share/dict/words")

_SLOT = grammar.SLOT
_WORD = re.compile(r"[a-z']+")


def words_of(text: str) -> list[str]:
    """The words of a sentence, in lower case, without the punctuation."""
    return _WORD.findall(text.lower())


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


SENTENCES = Sentences(
    makers={
        "template": _template,
        "grammar": _grammatical,
        "domain words": _random_domain_words,
        "dictionary words": _random_dictionary_words,
    },
    weights={"template": 45, "grammar": 35, "domain words": 12, "dictionary words": 8},
    units_of=words_of,
    lengths=range(2, 15),
    held_out_lengths={"template": range(3, 11), "grammar": range(3, 8)},
    held_out_path=_HERE / "heldout_en.txt",
)

if __name__ == "__main__":
    SENTENCES.write_held_out(HELD_OUT_COUNT)
