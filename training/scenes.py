"""Sounds put together: scenes of two or three sources, free mixtures, and one after the other."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from training.sound_signals import add_at, pick, samples
from training.sound_sources import SILENCE, SOUND_CLASSES, Sound, draw_sound
from training.speech_sounds import SPEECH_CLASSES, draw_speech

EVENT_CLASSES = (*SOUND_CLASSES, *SPEECH_CLASSES)
LONGEST_S = 6.0

# A scene has one source of each of its first two groups, and often a third one.
_PEOPLE = tuple(name for name in SPEECH_CLASSES if not name.startswith("robot"))
_RECIPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "street": (("engine",), ("siren", "footsteps"), ("siren", "footsteps")),
    "kitchen": (("running water",), ("clock tick", "bell"), ("clock tick", "bell")),
    "forest": (("wind",), ("bird",), ("rain", "footsteps")),
    "office": (("phone ring", "people"), ("typing", "knocking"), ("phone ring", "people")),
    "station": (("engine",), ("bell",), ("footsteps", "people")),
    "concert": (("drum beat", "applause"), ("chord", "piano melody"), ("drum beat", "applause")),
}
SCENES = tuple(_RECIPES)
_THIRD_SHARE = 0.5
_BACKGROUNDS = ("engine", "running water", "wind", "rain", "applause")
_DISTINCT = tuple(name for name in SOUND_CLASSES if name not in (SILENCE, "white noise"))
_LOUDNESS_FRAME_S = 0.05


@dataclass(frozen=True)
class Mix:
    """waveform: (T,) float64 of any level. events: (class, start, end) in samples, by start."""

    waveform: np.ndarray
    events: tuple[tuple[str, int, int], ...]


def alone(sound: Sound) -> Mix:
    return Mix(sound.waveform, tuple((sound.name, *span) for span in sound.spans))


def draw_scene(rng: Generator, scene: str, held_out: bool = False) -> Mix:
    """Two or three sources that belong to a scene, all different."""
    chosen: list[str] = []
    groups = _RECIPES[scene] if rng.random() < _THIRD_SHARE else _RECIPES[scene][:2]
    for group in groups:
        left = [name for name in group if name not in chosen]
        name = pick(rng, left) if left else ""
        if name:
            chosen.append(name)
    return _layered(rng, [pick(rng, _PEOPLE) if n == "people" else n for n in chosen], held_out)


def draw_mixture(rng: Generator, held_out: bool = False) -> Mix:
    """Two different sounds at once that make no scene of their own."""
    return _layered(rng, _two_different(rng), held_out)


def draw_sequence(rng: Generator, held_out: bool = False) -> Mix:
    """Two different sounds, one after the other, with a gap between them."""
    first, second = (_short(rng, name, 2.4, held_out) for name in _two_different(rng))
    gap = samples(rng.uniform(0.2, 0.5))
    start = len(first.waveform) + gap
    mix = np.zeros(start + len(second.waveform))
    add_at(mix, first.waveform / _loudness(first.waveform), 0, _gain(rng, -5, 0))
    add_at(mix, second.waveform / _loudness(second.waveform), start, _gain(rng, -5, 0))
    return Mix(mix, alone(first).events + _shifted(second, start))


def _two_different(rng: Generator) -> list[str]:
    """One in four is a voice; never two voices."""
    first = pick(rng, _DISTINCT)
    others = [name for name in _DISTINCT if name != first]
    second = pick(rng, SPEECH_CLASSES) if rng.random() < 0.4 else pick(rng, others)
    return [first, second] if rng.random() < 0.5 else [second, first]


def _short(rng: Generator, name: str, most_s: float, held_out: bool) -> Sound:
    if name in SPEECH_CLASSES:
        return draw_speech(rng, name, most_s, held_out=held_out)
    return draw_sound(rng, name, rng.uniform(1.3, most_s), most_beeps=3)


def _layered(rng: Generator, names: list[str], held_out: bool) -> Mix:
    """Sources over one another: the background from the start, the others entering later."""
    seconds = rng.uniform(2.8, 4.6)
    sounds, starts = [], []
    for name in sorted(names, key=lambda name: name not in _BACKGROUNDS):
        start_s = 0.0 if not sounds else rng.uniform(0.0, 0.8)
        if name in SPEECH_CLASSES:
            sounds.append(draw_speech(rng, name, LONGEST_S - start_s - 0.1, held_out=held_out))
        else:
            sounds.append(draw_sound(rng, name, seconds - start_s))
        starts.append(samples(start_s))
    ends = [start + len(s.waveform) for start, s in zip(starts, sounds, strict=True)]
    mix, events = np.zeros(max(ends)), []
    for sound, start in zip(sounds, starts, strict=True):
        quietest, loudest = (-13, -6) if sound.name in _BACKGROUNDS else (-6, 0)
        gain = _gain(rng, quietest, loudest) / _loudness(sound.waveform)
        add_at(mix, sound.waveform, start, gain)
        events += _shifted(sound, start)
    return Mix(mix, tuple(sorted(events, key=lambda event: event[1])))


def _shifted(sound: Sound, start: int) -> tuple[tuple[str, int, int], ...]:
    return tuple((sound.name, start + begin, start + end) for begin, end in sound.spans)


def _gain(rng: Generator, low_db: float, high_db: float) -> float:
    return 10 ** (rng.uniform(low_db, high_db) / 20)


def _loudness(waveform: np.ndarray) -> float:
    """RMS of the loudest 50 ms: peaks alone would drown a voice beside the click of a clock."""
    frame = samples(_LOUDNESS_FRAME_S)
    frames = waveform[: len(waveform) // frame * frame].reshape(-1, frame)
    return float(np.sqrt((frames**2).mean(axis=1).max()))
