"""Labelled sounds that the embedded model learns to understand, drawn one by one.

Nothing is recorded: single sounds, scenes, voices and moods are all synthesised from the generator
that is handed in. Axis letters: T time, in samples.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from training import scenes, speech_sounds
from training.listening import (
    EMOTIONS_ZH,
    EVENTS_ZH,
    SCENES_ZH,
    caption_classes,
    tasks_of,
)
from training.scenes import EVENT_CLASSES, LONGEST_S, SCENES, Mix
from training.sound_signals import at_peak, pick, samples
from training.sound_sources import SILENCE, SOUND_CLASSES, draw_sound
from training.speech_sounds import EMOTIONS, PROSODIES, SPEECH_CLASSES
from training.synthesizers import SAMPLE_RATE_HZ

__all__ = [
    "EMOTIONS",
    "EMOTIONS_ZH",
    "EVENTS_ZH",
    "EVENT_CLASSES",
    "KINDS",
    "SCENES",
    "SCENES_ZH",
    "Item",
    "caption_classes",
    "draw_item",
]

KINDS = ("sound", "scene", "emotion", "speech", "sequence", "mixture")
SHORTEST_S = 1.0
_PEAK_DB = (-16.0, -2.0)
_FLOOR_DB = (-80.0, -55.0)  # of the noise under every sound: no recording is without


@dataclass(frozen=True)
class Item:
    """waveform: (T,) int16, 16 kHz, 1 to 6 s. events: (class, start_ms, end_ms), may overlap.

    tasks: (task, question, answer); task is caption, event, scene, emotion or ask, and only `ask`
    has a question.
    """

    waveform: np.ndarray
    events: tuple[tuple[str, int, int], ...]
    emotion: str | None
    tasks: tuple[tuple[str, str, str], ...]


def draw_item(rng: random.Random, kind: str, held_out: bool = False) -> Item:
    """One item of a kind. held_out: sentences and wordings of questions kept for evaluation.

    Raises: ValueError for a kind that is not in KINDS.
    """
    generator = np.random.default_rng(rng.getrandbits(64))
    scene = emotion = None
    peak_db = generator.uniform(*_PEAK_DB)
    if kind == "sound":
        name, seconds = pick(generator, SOUND_CLASSES), generator.uniform(1.5, 4.0)
        mix = scenes.alone(draw_sound(generator, name, seconds))
    elif kind == "speech":
        name = pick(generator, SPEECH_CLASSES)
        mix = scenes.alone(speech_sounds.draw_speech(generator, name, LONGEST_S, None, held_out))
    elif kind == "emotion":
        emotion = pick(generator, EMOTIONS)
        peak_db = generator.uniform(*PROSODIES[emotion].peak_db)
        mix = _emotional(generator, emotion, held_out)
    elif kind == "scene":
        scene = pick(generator, SCENES)
        mix = scenes.draw_scene(generator, scene, held_out)
    elif kind == "sequence":
        mix = scenes.draw_sequence(generator, held_out)
    elif kind == "mixture":
        mix = scenes.draw_mixture(generator, held_out)
    else:
        raise ValueError(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    events = tuple((name, _ms(start), _ms(end)) for name, start, end in mix.events)
    tasks = tasks_of(rng, kind, events, scene, emotion, held_out)
    return Item(_recorded(generator, mix, peak_db), events, emotion, tasks)


def _emotional(generator: Generator, emotion: str, held_out: bool) -> Mix:
    people = [name for name in SPEECH_CLASSES if not name.startswith("robot")]
    name = pick(generator, people)
    speech = speech_sounds.draw_speech(generator, name, LONGEST_S, emotion, held_out)
    return scenes.alone(speech)


def _ms(position: int) -> int:
    return round(position * 1000 / SAMPLE_RATE_HZ)


def _recorded(generator: Generator, mix: Mix, peak_db: float) -> np.ndarray:
    """(T,) int16 with its level set, a noise floor under it, and at least a second long."""
    waveform = mix.waveform
    waveform = np.pad(waveform, (0, max(0, samples(SHORTEST_S) - len(waveform))))
    if mix.events[0][0] != SILENCE:
        floor = 10 ** (generator.uniform(*_FLOOR_DB) / 20)
        waveform = at_peak(waveform, 10 ** (peak_db / 20))
        waveform = waveform + floor * generator.standard_normal(len(waveform))
    return np.clip(np.round(waveform * 32768), -32767, 32767).astype(np.int16)
