"""Sentences of words that the embedded model was never trained on, as they are committed.

Their words were drawn from the dictionary of the machine, but for the vocabulary of the domain and
for every word that the training corpus says.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from string import Formatter

from training.domain import DICTIONARY_PATH, domain_words, words_of

PATH = Path(__file__).parents[1] / "heldout_new_words.txt"
COUNT = 100
_FITTING = re.compile("[a-z]{4,9}")
_TEMPLATES = (
    "the words are {a} and {b}.",
    "please say {a}, {b} and {c}.",
    "do you know {a} or {b}?",
    "the word {a} comes before {b}.",
    "we read {a}, then {b}, then {c}.",
    "he wrote {a} and she wrote {b}.",
)


def read() -> list[str]:
    """The sentences, in their order."""
    return PATH.read_text(encoding="utf-8").splitlines()


def sentences(new: Collection[str], seed: int = 12, count: int = COUNT) -> list[str]:
    """Two or three of the words in each sentence, none of them twice."""
    rng = random.Random(seed)
    left = rng.sample(sorted(new), 3 * count)
    made = []
    for number in range(count):
        template = _TEMPLATES[number % len(_TEMPLATES)]
        slots = [name for _, name, _, _ in Formatter().parse(template) if name]
        made.append(template.format(**{slot: left.pop() for slot in slots}))
    return made


def new_words(dictionary: Iterable[str], trained: Iterable[str]) -> set[str]:
    """Plain words of 4 to 9 letters that are neither in the domain nor in the training texts."""
    known = {*domain_words(), *(word for text in trained for word in words_of(text))}
    return {word for word in dictionary if _FITTING.fullmatch(word)} - known


def _texts(corpus: Path) -> Iterable[str]:
    """Whatever is said in any shard of a corpus, held-out ones included."""
    for index in sorted(corpus.glob("*/*/index.jsonl")):
        for line in index.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["text"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the sentences of new words.")
    parser.add_argument("--corpus", type=Path, required=True, help="what was trained on")
    parser.add_argument("--out", type=Path, default=PATH)
    arguments = parser.parse_args()
    listed = DICTIONARY_PATH.read_text(encoding="utf-8").split()
    found = sentences(new_words(listed, _texts(arguments.corpus)))
    arguments.out.write_text("\n".join(found) + "\n", encoding="utf-8")
