"""Voices of animals: pulses or noise through the resonances of a throat.

A species draws one animal; the animal calls again and again, so that its calls can be counted.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.random import Generator

from training.sounds.signals import (
    add_at,
    along,
    at_peak,
    band,
    curve,
    faded,
    formants,
    harmonics,
    noise,
    phase,
    pulses,
    samples,
    times,
    tone,
)

Call = Callable[[], np.ndarray]
Range = tuple[float, float]
Peaks = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Species:
    """Ranges of its animals and of their calls.

    pitch_hz: of an animal of middle size; contour: factors of it along a call; throats: resonances
    (hertz, strength) that a call moves through; breath: share of noise, 0 to 1; rough: how
    unsteady each period is; tremble_hz, tremble: speed and depth, 0 to 1, of a bleat's or whinny's
    shaking; sizes: octaves between a middle animal and the largest; edges: shares of the call that
    it swells and dies away in.
    """

    pitch_hz: Range
    seconds: Range
    contour: tuple[Range, ...]
    throats: tuple[Peaks, ...]
    breath: Range = (0.05, 0.3)
    rough: Range = (0.01, 0.06)
    tremble_hz: Range = (0.0, 0.0)
    tremble: Range = (0.0, 0.0)
    sizes: float = 0.3
    edges: Range = (0.12, 0.3)

    def __call__(self, rng: Generator) -> Call:
        """One animal."""
        size = 2 ** rng.uniform(-self.sizes, self.sizes)
        pitch_hz = rng.uniform(*self.pitch_hz) / size
        throats = [_grown(rng, throat, size**0.6) for throat in self.throats]
        breath, rough, reach_hz = (
            rng.uniform(*span) for span in (self.breath, self.rough, (2500, 7000))
        )
        tremble_hz, tremble = rng.uniform(*self.tremble_hz), rng.uniform(*self.tremble)

        def call() -> np.ndarray:
            count = samples(rng.uniform(*self.seconds) * size**0.4)
            shaking = np.sin(2 * np.pi * tremble_hz * times(count)) * tremble
            pitch = pitch_hz * along([rng.uniform(*span) for span in self.contour], count)
            pitch *= 1 + 0.15 * shaking
            voice = _voiced(rng, pitch, throats, breath, rough, reach_hz) * (1 - tremble + shaking)
            return _shaped(voice, *self.edges)

        return call


def _grown(rng: Generator, throat: Peaks, size: float) -> Peaks:
    """The throat of one animal: a larger one is lower, and no two are alike."""
    return tuple(
        (min(7000, frequency_hz / size * rng.uniform(0.85, 1.18)), strength * rng.uniform(0.4, 1.5))
        for frequency_hz, strength in throat
    )


def _voiced(
    rng: Generator,
    pitch_hz: np.ndarray,
    throats: list[Peaks],
    breath: float,
    rough: float,
    reach_hz: float,
) -> np.ndarray:
    """(T,) a call before it is given its loudness. pitch_hz: (T,)."""
    count = len(pitch_hz)
    unsteady = 1 + rough * at_peak(noise(rng, count, None, 60)) + rough / 4 * noise(rng, count)
    pitch_hz = np.maximum(pitch_hz * unsteady, 30)
    source = pulses(pitch_hz, reach_hz) - 0.3
    if rough > 0.05:  # every other period is weaker, as in a hoarse voice
        source *= 1 + min(0.6, 4 * rough) * np.sin(phase(pitch_hz / 2))
    source = at_peak(source) * (1 - breath) + breath * noise(rng, count, None, reach_hz / 2)
    if len(throats) == 1:
        return at_peak(formants(source, throats[0]))
    shares = (along(share, count) for share in np.eye(len(throats)))
    moved = zip(shares, throats, strict=True)
    return at_peak(sum(share * formants(source, throat) for share, throat in moved))


def _shaped(call: np.ndarray, attack: float, release: float) -> np.ndarray:
    """(T,) with edges as shares of its length."""
    place = np.linspace(0, 1, len(call))
    return call * np.minimum(1, place / attack) * np.minimum(1, (1 - place) / release) ** 1.3


def _read_species() -> dict[str, Species]:
    text = (files(__package__) / "species.json").read_text(encoding="utf-8")
    return {name: Species(**ranges) for name, ranges in json.loads(text).items()}


SPECIES = _read_species()  # geese are among the ducks, goats among the sheep, bears among the lions


def cat(rng: Generator) -> Call:
    """Meows, or the wild yowl of a fight."""
    return SPECIES["cat yowling" if rng.random() < 0.2 else "cat meowing"](rng)


def pig(rng: Generator) -> Call:
    """Grunts, and a squeal here and there."""
    grunt, squeal = SPECIES["pig grunting"](rng), SPECIES["pig squealing"](rng)
    return lambda: squeal() if rng.random() < 0.2 else grunt()


def horse(rng: Generator) -> Call:
    """A whinny, often with a snort at its end."""
    whinny = SPECIES["horse"](rng)

    def neigh() -> np.ndarray:
        clock = times(samples(0.4))
        snort = noise(rng, len(clock), 150, 1800) * (1 + np.sin(rng.uniform(120, 200) * clock))
        return np.concatenate([whinny(), at_peak(faded(snort, 0.1), rng.uniform(0, 0.6))])

    return neigh


def rooster(rng: Generator) -> Call:
    """Cock-a-doodle-doo: two short notes, a rising one, a long one that sinks at last."""
    species = SPECIES["rooster"]
    syllable, throat = species(rng), [_grown(rng, species.throats[0], rng.uniform(0.8, 1.25))]
    pitch_hz, breath = rng.uniform(*species.pitch_hz), rng.uniform(*species.breath)

    def crow() -> np.ndarray:
        parts = [syllable(), syllable()] if rng.random() < 0.8 else [syllable()]
        high = rng.uniform(1.3, 1.6)
        for seconds, contour in (
            (rng.uniform(0.2, 0.35), (1.0, high, 0.95 * high)),
            (rng.uniform(0.5, 1.1), (0.95 * high, high, 0.95 * high, 0.9 * high, 0.8)),
        ):
            pitch = pitch_hz * along(contour, samples(seconds))
            parts.append(_shaped(_voiced(rng, pitch, throat, breath, 0.02, 6000), 0.1, 0.2))
        gap = np.zeros(samples(rng.uniform(0.01, 0.06)))
        return np.concatenate([piece for part in parts for piece in (part, gap)])

    return crow


def owl(rng: Generator) -> Call:
    """Hoots: nearly pure, low and round, some long and trembling."""
    base_hz, trembles = rng.uniform(260, 480), rng.random() < 0.4

    def hoot() -> np.ndarray:
        count = samples(rng.uniform(0.2, 0.7))
        tremble = np.sin(2 * np.pi * 9 * times(count)) if trembles else np.zeros(count)
        pitch = base_hz * along((0.92, 1.03, 0.95), count) * (1 + 0.02 * tremble)
        return _shaped(harmonics(phase(pitch), (1, 0.06, 0.1)) * (0.8 + 0.2 * tremble), 0.25, 0.4)

    return hoot


def cuckoo(rng: Generator) -> Call:
    """Two whistled notes, the second a third lower."""
    high_hz, ratio = rng.uniform(580, 820), rng.uniform(1.18, 1.28)

    def call() -> np.ndarray:
        parts = []
        for frequency, seconds in ((high_hz, 0.14), (high_hz / ratio, 0.2)):
            note = harmonics(phase(np.full(samples(seconds), frequency)), (1, 0.08, 0.03))
            parts += [_shaped(note, 0.2, 0.4), np.zeros(samples(0.15))]
        return np.concatenate(parts)

    return call


def songbird(rng: Generator, seconds: float) -> np.ndarray:
    """Phrases of high whistles: sweeps, warbles, trills, and now and then a harsh chatter."""
    mix, onset_s = np.zeros(samples(seconds)), rng.uniform(0.02, 0.2)
    home_hz, warbles = rng.uniform(1700, 5000), rng.random() < 0.4
    while onset_s < seconds - 0.1:
        trill = rng.random() < 0.35
        repeats = int(rng.integers(5, 14)) if trill else int(rng.integers(1, 4))
        chirp_s = rng.uniform(0.02, 0.05) if trill else rng.uniform(0.06, 0.3 if warbles else 0.18)
        chirp = _chirp(rng, chirp_s, home_hz * rng.uniform(0.75, 1.3))
        for _ in range(repeats):
            add_at(mix, chirp, samples(onset_s), rng.uniform(0.6, 1.0))
            onset_s += chirp_s * rng.uniform(1.1, 1.6)
        onset_s += rng.uniform(0.08, 0.6)
    return faded(mix)


def _chirp(rng: Generator, seconds: float, centre_hz: float) -> np.ndarray:
    count = samples(seconds)
    turns = rng.uniform(0.7, 1.35, int(rng.integers(2, 6)))
    frequency = np.clip(centre_hz * along(turns, count), 1000, 7000)
    chirp = harmonics(phase(frequency), (1.0, rng.uniform(0, 0.15))) * np.hanning(count)
    if rng.random() < 0.15:
        chirp *= 1 + np.sin(2 * np.pi * rng.uniform(60, 200) * times(count))
    return chirp


def insect(rng: Generator, seconds: float) -> np.ndarray:
    """The buzz of a bee or a gnat that flies to and fro."""
    count, gnat = samples(seconds), rng.random() < 0.35
    wings_hz = rng.uniform(450, 700) if gnat else rng.uniform(130, 280)
    pitch = wings_hz * curve(rng, count, rng.uniform(1, 4), 0.9, 1.1)
    pitch *= 1 + 0.02 * noise(rng, count, None, 40)
    body = [(hz, rng.uniform(0.2, 1)) for hz in (300, 800, 1600, 3000, 5000)]
    buzz = formants(pulses(pitch, 7000), body)
    rustle = at_peak(noise(rng, count, 200, 5000), rng.uniform(0.02, 0.25))
    return faded((at_peak(buzz) + rustle) * curve(rng, count, 2, 0.25, 1), 0.05)


def cricket(rng: Generator, seconds: float) -> np.ndarray:
    """Groups of pulses of one high tone."""
    count = samples(seconds)
    clock, pulse_hz = times(count), rng.uniform(20, 60)
    song = tone(
        np.full(count, rng.uniform(1800, 5500)), (1, rng.uniform(0, 0.5), rng.uniform(0, 0.3))
    )
    group_s = rng.uniform(0.2, 0.8)
    inside = (clock % group_s) < rng.uniform(0.3, 0.7) * group_s
    return faded(
        band(song * np.clip(np.sin(2 * np.pi * pulse_hz * clock), 0, 1) * inside, 1500, None)
    )
