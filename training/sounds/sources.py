"""Every single sound that is not speech, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.random import Generator

from training.sounds import animals, hits, textures, tones
from training.sounds.signals import add_at, at_peak, faded, samples

SILENCE = "silence"


@dataclass(frozen=True)
class Name:
    """How a sound is talked about.

    event: its option in the closed question; several sounds may share one. group: what it is one
    of (animal, music, machine, weather, person, other). counted: the plural of what can be counted
    of it; empty where nobody would count. zh: the noun in Mandarin.
    """

    event: str
    group: str
    noun: str
    says: str
    zh: str
    zh_says: str
    counted: str = ""
    zh_counted: str = ""


def _read_names() -> dict[str, Name]:
    text = (files(__package__) / "names.json").read_text(encoding="utf-8")
    return {name: Name(**fields) for name, fields in json.loads(text).items()}


NAMES = _read_names()


@dataclass(frozen=True)
class Sound:
    """One source. waveform: (T,) float64, 16 kHz, with a peak of 1, but that silence keeps its own
    level. count: how often it is heard, where that can be counted, else 0.
    """

    name: str
    waveform: np.ndarray
    count: int = 0


# Each takes a generator and seconds, and gives (T,).
_LASTING: dict[str, Callable[[Generator, float], np.ndarray]] = {
    "siren": tones.siren,
    "phone": tones.phone_ring,
    "alarm clock": tones.alarm_clock,
    "rain": textures.rain,
    "wind": textures.wind,
    "thunder": textures.thunder,
    "engine": textures.engine,
    "vacuum cleaner": textures.vacuum_cleaner,
    "running water": textures.running_water,
    "footsteps": hits.footsteps,
    "hammer": hits.hammer,
    "fireworks": hits.fireworks,
    "applause": textures.applause,
    "clock": hits.clock_tick,
    "typing": hits.typing,
    "songbird": animals.songbird,
    "bee": animals.insect,
    "cricket": animals.cricket,
    "piano": tones.piano_melody,
    "chord": tones.chord,
    "violin": tones.violin,
    "drums": hits.drum_beat,
    "white noise": textures.white_noise,
    SILENCE: textures.silence,
}


@dataclass(frozen=True)
class _Repeated:
    """A source that calls some times. gap_s: between two calls; most: calls; occupies_s: the part
    of a call that the next one waits for.
    """

    source: Callable[[Generator], Callable[[], np.ndarray]]
    gap_s: tuple[float, float]
    most: int
    occupies_s: float = 9.0


_REPEATED = {
    "beep": _Repeated(tones.beeps, (0.15, 0.5), 5),
    "bell": _Repeated(tones.bells, (0.1, 0.9), 4, 0.4),
    "knocking": _Repeated(hits.knocks, (0.08, 0.3), 5, 0.1),
    "dog": _Repeated(animals.SPECIES["dog"], (0.1, 0.6), 5),
    "cat": _Repeated(animals.cat, (0.2, 0.9), 3),
    "cow": _Repeated(animals.SPECIES["cow"], (0.3, 0.9), 2),
    "sheep": _Repeated(animals.SPECIES["sheep"], (0.15, 0.8), 3),
    "horse": _Repeated(animals.horse, (0.2, 0.5), 2),
    "pig": _Repeated(animals.pig, (0.05, 0.4), 7),
    "rooster": _Repeated(animals.rooster, (0.3, 0.8), 2),
    "hen": _Repeated(animals.SPECIES["hen"], (0.06, 0.3), 10),
    "duck": _Repeated(animals.SPECIES["duck"], (0.06, 0.3), 8),
    "crow": _Repeated(animals.SPECIES["crow"], (0.08, 0.5), 4),
    "owl": _Repeated(animals.owl, (0.15, 0.6), 4),
    "cuckoo": _Repeated(animals.cuckoo, (0.2, 0.6), 4),
    "frog": _Repeated(animals.SPECIES["frog"], (0.08, 0.5), 6),
    "lion": _Repeated(animals.SPECIES["lion"], (0.1, 0.5), 2),
}
SOUNDS = (*_REPEATED, *_LASTING)


def draw_sound(rng: Generator, name: str, seconds: float) -> Sound:
    """One sound; what is repeated takes the time that its calls need, `seconds` at most, unless
    the first one is longer.

    Raises: KeyError for a name that is not in SOUNDS.
    """
    if name in _LASTING:
        waveform = _LASTING[name](rng, seconds)
        return Sound(name, waveform if name == SILENCE else at_peak(waveform))
    waveform, count = _repeat(rng, _REPEATED[name], seconds)
    return Sound(name, at_peak(waveform), count if NAMES[name].counted else 0)


def _repeat(rng: Generator, spec: _Repeated, seconds: float) -> tuple[np.ndarray, int]:
    call, wanted = spec.source(rng), int(rng.integers(1, spec.most + 1))
    gap_s = rng.uniform(*spec.gap_s)
    even = spec.source is tones.beeps
    pieces, onsets, onset = [], [], samples(rng.uniform(0.03, 0.4))
    while len(pieces) < wanted:
        piece = call()
        if pieces and onset + len(piece) > samples(seconds):
            break
        pieces.append(piece)
        onsets.append(onset)
        pause_s = gap_s * (1 if even else rng.uniform(0.8, 1.4))
        onset += min(len(piece), samples(spec.occupies_s)) + samples(pause_s)
    ends = [onset + len(piece) for onset, piece in zip(onsets, pieces, strict=True)]
    mix = np.zeros(max(ends) + samples(rng.uniform(0.05, 0.4)))
    for start, piece in zip(onsets, pieces, strict=True):
        add_at(mix, piece, start)
    return faded(mix), len(pieces)
