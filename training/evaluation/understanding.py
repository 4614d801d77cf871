"""How well a checkpoint understands sounds: captions, closed questions, open questions.

Sounds are drawn on the spot. The voices in them, and the wordings of the questions about them, are
such as training never has.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio, to_int16
from kimi_demo.intents import Ask, Caption, Choose
from training import sounds
from training.evaluation import texts
from training.evaluation.bench import Bench
from training.evaluation.hearing import SUFFIXES
from training.evaluation.rows import Figure, NotMeasuredError
from training.evaluation.scores import share, words_of
from training.evaluation.voices import UNMET
from training.shards import SAMPLE_RATE
from training.sounds import LabelledSound, Voices
from training.sounds.sources import NAMES
from training.sounds.voices import speaker_of
from training.sounds.words import HELD_OUT_WORDINGS, read_wordings

logger = logging.getLogger(__name__)

SINGLE = ("sound", "sound", "sound", "speech")  # three times as many sounds as speakers
SEVERAL = ("scene", "together", "in turn")
_FEWEST_SENTENCES = 4  # in the sounds: of two women and two men in each language
_MOST_DRAWS = 8  # for each question of a kind, since not every sound allows every kind
Judged = tuple[bool, str]


def captions(bench: Bench) -> Mapping[str, Figure]:
    """Whether captions name all that sounds: one source, or two to three."""
    return {"single": _captioned(bench, SINGLE), "several": _captioned(bench, SEVERAL)}


def choices(bench: Bench) -> Mapping[str, Figure]:
    """Closed questions, with the options that the checkpoint lists."""
    kinds = {"emotion": ("emotion",), "event": SINGLE, "scene": ("scene",)}
    found: dict[str, list[Judged]] = defaultdict(list)
    for label, of in kinds.items():
        for item in islice(_items(bench, of, label), bench.limit):
            [expected] = [task.answer for task in item.tasks if task.name == label]
            chosen = _choice(bench, _audio(item), "sound" if label == "event" else label)
            found[label].append(_judged(label, expected, chosen))
    return {label: share(judged) for label, judged in found.items()}


def questions(bench: Bench) -> Mapping[str, Figure]:
    """Open questions by kind, in both languages: the words of the answer must be right."""
    found: dict[str, list[Judged]] = {kind: [] for kind in read_wordings()}
    for item in islice(_items(bench, tuple(sounds.KINDS), "ask"), _MOST_DRAWS * bench.limit):
        if all(len(judged) == bench.limit for judged in found.values()):
            break
        for task in (task for task in item.tasks if task.name == "ask"):
            judged = found[kind_of(task.question)]
            if len(judged) < bench.limit:
                asked = (_audio(item), task.question)
                answer = bench.told(Ask.about(*asked))
                judged.append(_judged(task.question, task.answer, answer))
    return {kind: share(judged) for kind, judged in found.items()}


def real_sounds(bench: Bench) -> Mapping[str, Figure]:
    """Recordings named by what sounds, as an event of the checkpoint's list."""
    if bench.sounds is None:
        raise NotMeasuredError("needs --sounds, a folder of sounds named by class")
    judged = []
    for path, event in islice(labelled_files(bench.sounds), bench.limit):
        sound = audio.read(path, sample_rate=INPUT_SAMPLE_RATE)
        judged.append(_judged(path.name, event, _choice(bench, sound, "sound")))
    return {"event": share(judged)}


def labelled_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Sounds whose own or whose folder's name is that of a known sound, with its event."""
    events = {name: entry.event for name, entry in NAMES.items()}
    events |= {event: event for event in sounds.EVENTS}
    for path in sorted(folder.rglob("*")):
        names = (re.sub(r"[\W_\d]+", " ", n).strip() for n in (path.stem, path.parent.name))
        known = next((events[name] for name in names if name in events), None)
        if known and path.suffix.lower() in SUFFIXES:
            yield path, known


def events_in(caption: str) -> set[str]:
    """What a caption in training's words says that sounds."""
    said = caption.lower()
    return {name.event for name in NAMES.values() if name.says.lower() in said}


def kind_of(question: str) -> str:
    """The kind of a question in a held-out wording. Raises: StopIteration for another."""
    return next(kind for wording, kind in _wordings() if wording.fullmatch(question))


@cache
def _wordings() -> list[tuple[re.Pattern[str], str]]:
    """With the kind of question; those with a word of the sound's in them come last."""
    rows = [
        (wording, kind)
        for kind, languages in read_wordings().items()
        for wordings in languages.values()
        for wording in wordings[-HELD_OUT_WORDINGS:]
    ]
    rows.sort(key=lambda row: "{}" in row[0])
    return [(re.compile(re.escape(w).replace(r"\{\}", ".+")), kind) for w, kind in rows]


def _captioned(bench: Bench, kinds: Sequence[str]) -> Figure:
    judged = []
    for item in islice(_items(bench, kinds, kinds[0]), bench.limit):
        expected = next(t.answer for t in item.tasks if t.name == "caption" and not t.question)
        sound = _audio(item)
        said = bench.told(Caption(sound))
        judged.append((events_in(expected) <= events_in(said), f"{expected} -> {said}"))
        logger.info("described: %s", judged[-1][1])
    return share(judged)


def _choice(bench: Bench, sound: Audio, task: str) -> str:
    return bench.told(Choose.about(sound, task))


def _judged(asked: str, expected: str, answer: str) -> Judged:
    language = "en" if expected.isascii() else "zh"
    what = f"{asked} {expected} -> {answer}"
    logger.info("asked: %s", what)
    return words_of(expected, language) == words_of(answer, language), what


def _items(bench: Bench, kinds: Sequence[str], salt: str) -> Iterator[LabelledSound]:
    """Endless sounds, the kinds in turn; for the same salt the same ones."""
    rng, voices = np.random.default_rng(zlib.crc32(salt.encode())), _voices(bench)
    return (sounds.draw(rng, kind, voices, apart=True) for kind in cycle(kinds))


@cache
def _voices(bench: Bench) -> Voices:
    """Those that the sentences to be heard are spoken in."""
    count = max(_FEWEST_SENTENCES, bench.limit)
    sentences = {"en": texts.open_vocabulary(count), "zh": texts.mandarin(count)}
    spoken = [(t, code, n) for code, said in sentences.items() for n, t in enumerate(said)]
    return Voices(
        (
            speaker_of(UNMET[code][number % len(UNMET[code])], code),
            True,
            to_int16(bench.voices.unmet(text, code, number).resampled(SAMPLE_RATE).waveform),
        )
        for text, code, number in spoken
    )


def _audio(item: LabelledSound) -> Audio:
    return Audio(item.waveform, INPUT_SAMPLE_RATE)
