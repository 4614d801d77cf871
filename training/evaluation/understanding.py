"""How well a checkpoint understands sounds: captions, closed questions, open questions.

The sounds are drawn on the spot; the sentences in them and the questions about them are such as
training never has.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from kimi_demo.audio import Audio, from_samples
from training import measures
from training.evaluation.bench import Bench
from training.listening import QUESTIONS, caption_classes
from training.scenes import EVENT_CLASSES, SCENES
from training.sounds import KINDS, Item, draw_item
from training.speech_sounds import EMOTIONS
from training.synthesizers import SAMPLE_RATE_HZ

logger = logging.getLogger(__name__)

# There are about three times as many classes of sounds as of speakers.
SINGLE = ("sound", "sound", "sound", "speech")
SEVERAL = ("scene", "mixture", "sequence")


@dataclass(frozen=True)
class ClosedQuestion:
    """A task of the table, the label of an item that answers it, and the items that have one."""

    label: str
    options: tuple[str, ...]
    kinds: tuple[str, ...]


CHOICES = {
    "emotion": ClosedQuestion("emotion", EMOTIONS, ("emotion",)),
    "sound": ClosedQuestion("event", EVENT_CLASSES, SINGLE),
    "scene": ClosedQuestion("scene", SCENES, ("scene",)),
}
# Kind of open question -> the kinds of items that it can be put to.
ASKED_OF: Mapping[str, tuple[str, ...]] = {
    "count": ("sound", "sequence"),
    "speech": KINDS,
    "language": ("speech", "emotion", "sequence"),
    "speaker": ("speech", "emotion", "sequence"),
    "first": ("sequence",),
    "last": ("sequence",),
    "what": SINGLE,
    "all": ("mixture", "scene"),
    "place": ("scene",),
    "feeling": ("emotion",),
}


@dataclass(frozen=True)
class Judged:
    """expected: the labels of an item. is_right: all of them were named; is_exact: and no other."""

    expected: tuple[str, ...]
    is_right: bool
    is_exact: bool


def captioning(bench: Bench) -> dict[str, object]:
    """Whether captions name what sounds: all of it (`right`), and nothing else (`exact`)."""
    single = _captioned(bench, SINGLE, "single")
    several = {kind: _captioned(bench, (kind,), kind) for kind in SEVERAL}
    together = [judged for each in several.values() for judged in each]
    return {
        "single": _caption_figures(single),
        "several": _caption_figures(together),
        **{kind: _caption_figures(each) for kind, each in several.items()},
    }


def choices(bench: Bench) -> dict[str, object]:
    """Accuracy of each closed question."""
    return {name: _chosen(bench, name, question) for name, question in CHOICES.items()}


def ask(bench: Bench) -> dict[str, object]:
    """By kind of open question: the share of exact answers in both languages, and in each."""
    return {kind: _asked(bench, kind) for kind in ASKED_OF}


def _captioned(bench: Bench, kinds: Sequence[str], salt: str) -> list[Judged]:
    judged = []
    for item in islice(_items(bench, kinds, salt), bench.limit):
        expected = {name for name, _, _ in item.events}
        caption = _caption_of(bench, _audio(item))
        logger.info("described: %s -> %s", ", ".join(sorted(expected)), caption)
        named = caption_classes(caption)
        judged.append(Judged(tuple(sorted(expected)), expected <= named, expected == named))
    return judged


def _caption_of(bench: Bench, audio: Audio) -> str:
    return bench.answer(lambda tasks: tasks.caption(audio, seed=bench.seed)).text


def _caption_figures(judged: Sequence[Judged]) -> dict[str, object]:
    return {**_figures(judged), "exact": measures.share(each.is_exact for each in judged)}


def _chosen(bench: Bench, name: str, question: ClosedQuestion) -> dict[str, object]:
    judged = []
    for item in islice(_items(bench, question.kinds, name), bench.limit):
        [label] = [answer for task, _, answer in item.tasks if task == question.label]
        chosen = _choice_of(bench, _audio(item), name, question.options)
        logger.info("%s: %s -> %s", name, label, chosen)
        judged.append(Judged((label,), chosen == label, chosen == label))
    return _figures(judged)


def _choice_of(bench: Bench, audio: Audio, name: str, options: Sequence[str]) -> str:
    """The options of the embedded model are weighed, whatever the checkpoint's table lists."""
    return bench.answer(lambda tasks: tasks.choose(audio, name, options)).text


def _asked(bench: Bench, kind: str) -> dict[str, object]:
    flags: defaultdict[str, list[bool]] = defaultdict(list)
    fitting = (item for item in _items(bench, ASKED_OF[kind], kind) if _questions(item, kind))
    for item in islice(fitting, bench.limit):
        for language, (question, expected) in _questions(item, kind).items():
            answer = _answer_to(bench, _audio(item), question)
            logger.info("%s %s -> %s", question, expected, answer)
            flags[language].append(measures.same_words(expected, answer))
    together = [flag for each in flags.values() for flag in each]
    return {
        **measures.rightness(together),
        **{language: measures.share(each) for language, each in flags.items()},
    }


def _answer_to(bench: Bench, audio: Audio, question: str) -> str:
    return bench.answer(lambda tasks: tasks.ask(audio, question, bench.seed)).text


def _questions(item: Item, kind: str) -> dict[str, tuple[str, str]]:
    """Language -> question and answer of one kind, if the item has them."""
    wordings = dict(zip((wordings[-1] for wordings in QUESTIONS[kind]), ("en", "zh"), strict=True))
    return {
        wordings[question]: (question, answer)
        for task, question, answer in item.tasks
        if task == "ask" and question in wordings
    }


def _items(bench: Bench, kinds: Sequence[str], salt: str) -> Iterator[Item]:
    """Endless sounds, the kinds taking turns. The same seed and salt give the same ones."""
    rng = random.Random(f"{bench.seed}/{salt}")
    for kind in cycle(kinds):
        yield draw_item(rng, kind, held_out=True)


def _audio(item: Item) -> Audio:
    return from_samples(item.waveform, SAMPLE_RATE_HZ)


def _figures(judged: Sequence[Judged]) -> dict[str, object]:
    """The share of right ones, and how often each label was in a wrong one."""
    missed = Counter(label for each in judged if not each.is_right for label in each.expected)
    return {**measures.rightness(each.is_right for each in judged), "missed": dict(missed)}
