"""What is said during evaluation: sentences and dialogues that training leaves out.

The first so many are the same however many are asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from training.texts import dialogue, sentences
from training.texts.dialogue import Dialogue
from training.texts.sentences import is_held_out
from training.texts.spoken import as_spoken

UNKNOWN = "unknown"  # the topic of questions that nobody taught it to answer
_SMALL_WORLD = Path(__file__).with_name("small_world.txt")


def small_world(count: int) -> list[str]:
    """English of the closed vocabulary of the first embedded voice."""
    return _SMALL_WORLD.read_text(encoding="utf-8").splitlines()[:count]


def open_vocabulary(count: int) -> list[str]:
    """English sentences of WordNet."""
    kept = [text for text in sentences.english_sentences() if _is_unheard(text, "en")]
    return random.Random("evaluation/en").sample(kept, len(kept))[:count]


def mandarin(count: int) -> list[str]:
    """Patterns over frequent words, and answers of the small world, in turn."""
    rng = random.Random("evaluation/zh")
    known = [text for text in dialogue.answers("zh") if _is_unheard(text, "zh")]
    answers = iter(rng.sample(known, len(known)))
    texts = []
    for number in range(count):
        answer = next(answers, "") if number % 2 else ""
        texts.append(answer or _pattern(rng))
    return texts


def _pattern(rng: random.Random) -> str:
    while True:
        [text] = sentences.mandarin_sentences(rng, 1)
        if _is_unheard(text, "zh"):
            return text


def _is_unheard(text: str, language: str) -> bool:
    """Held out as it is written and as it is said: some data was chosen by the one, some by the
    other."""
    return is_held_out(text) and is_held_out(as_spoken(text, language))


def dialogues(language: str, count: int) -> list[Dialogue]:
    """Of two turns, in wordings that training never has; the first can be answered."""
    drawn = _drawn(language, turns=2)
    return list(islice((d for d in drawn if d.exchanges[0].topic != UNKNOWN), count))


def unanswerable(language: str, count: int) -> list[Dialogue]:
    """Single questions beyond the small world."""
    drawn = _drawn(language, turns=1)
    return list(islice((d for d in drawn if d.exchanges[0].topic == UNKNOWN), count))


def _drawn(language: str, turns: int) -> Iterator[Dialogue]:
    rng = random.Random(f"evaluation/{language}/{turns}")
    while True:
        yield dialogue.draw(rng, language, turns, held_out=True)
