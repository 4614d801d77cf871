"""Voices of animals: pulses or noise through the resonances of a throat.

Each function draws one animal and gives a function that lets it call once, so that calls of the
same animal can be counted. Lengths of calls are theirs.
"""

from collections.abc import Callable, Sequence

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
    pick,
    pulses,
    samples,
    times,
)

Call = Callable[[], np.ndarray]
Peaks = Sequence[tuple[float, float]]


def _voiced(
    rng: Generator,
    pitch_hz: np.ndarray,
    throats: Sequence[Peaks],
    breath: float,
    rough: float = 0.02,
) -> np.ndarray:
    """(T,) a call. throats: resonances that the call moves through; breath: noise beside the voice,
    0 to 1; rough: how unsteady each period is.
    """
    count = len(pitch_hz)
    unsteady = 1 + rough * at_peak(noise(rng, count, None, 60)) + rough / 4 * noise(rng, count)
    source = pulses(np.maximum(pitch_hz * unsteady, 30)) - 0.3
    if rough > 0.05:  # every other period is weaker, as in a hoarse voice
        source *= 1 + min(0.6, 4 * rough) * np.sin(phase(pitch_hz / 2 * unsteady))
    source = at_peak(source) * (1 - breath) + 0.35 * breath * noise(rng, count)
    if len(throats) == 1:
        return at_peak(formants(source, throats[0]))
    shares = (along(share, count) for share in np.eye(len(throats)))
    return at_peak(
        sum(share * formants(source, throat) for share, throat in zip(shares, throats, strict=True))
    )


def _shaped(call: np.ndarray, attack: float, release: float) -> np.ndarray:
    """(T,) with edges as shares of its length."""
    place = np.linspace(0, 1, len(call))
    return call * np.minimum(1, place / attack) * np.minimum(1, (1 - place) / release) ** 1.3


def _scaled(throat: Peaks, size: float) -> Peaks:
    """The same throat in a larger animal: lower."""
    return [(min(7000, frequency_hz / size), strength) for frequency_hz, strength in throat]


def dog(rng: Generator) -> Call:
    """Barks: rough bursts whose pitch jumps up and falls; small dogs yap, large ones woof."""
    size = np.exp(rng.uniform(np.log(0.6), np.log(1.8)))
    throat = _scaled(((rng.uniform(450, 700), 1.0), (rng.uniform(1100, 1500), 0.7),
                      (2300, 0.3), (3500, 0.12)), size**0.6)  # fmt: skip
    base_hz, breath, rough = 330 / size, rng.uniform(0.25, 0.6), rng.uniform(0.05, 0.15)

    def bark() -> np.ndarray:
        count = samples(rng.uniform(0.11, 0.24) * size**0.4)
        shape = (0.7, rng.uniform(1.2, 1.6), 1.1, rng.uniform(0.5, 0.8))
        pitch = base_hz * rng.uniform(0.9, 1.15) * along(shape, count)
        return _shaped(_voiced(rng, pitch, [throat], breath, rough), 0.1, 0.7)

    return bark


def cat(rng: Generator) -> Call:
    """Meows from a closed mouth over an open one to a closed one again; sometimes a wild yowl."""
    base_hz, size, wild = rng.uniform(350, 750), rng.uniform(0.85, 1.2), rng.random() < 0.2
    closed = _scaled(((500, 1.0), (2300, 0.5), (3400, 0.3)), size)
    opened = _scaled(((1000, 1.0), (1700, 0.9), (3300, 0.5), (4700, 0.2)), size)
    rounded = _scaled(((600, 1.0), (1000, 0.6), (3000, 0.15)), size)

    def meow() -> np.ndarray:
        count = samples(rng.uniform(0.4, 1.0) * (1.6 if wild else 1))
        high = rng.uniform(1.8, 2.6) if wild else rng.uniform(1.15, 1.6)
        pitch = base_hz * along(
            (rng.uniform(0.8, 1), high, high * 0.95, rng.uniform(0.7, 1)), count
        )
        voice = _voiced(rng, pitch, [closed, opened, rounded], 0.12, 0.06 if wild else 0.015)
        return _shaped(voice, 0.2, 0.35)

    return meow


def cow(rng: Generator) -> Call:
    """A moo: long, low and nasal, opening slowly, with a break of the voice now and then."""
    size, base_hz = rng.uniform(0.8, 1.25), rng.uniform(85, 190)
    closed = _scaled(((230, 1.0), (900, 0.15), (2100, 0.05)), size)
    opened = _scaled(((480, 1.0), (850, 0.8), (1500, 0.35), (2500, 0.25)), size)

    def moo() -> np.ndarray:
        count = samples(rng.uniform(0.9, 2.2))
        rise = rng.uniform(1.1, 1.7)
        pitch = base_hz * along((0.85, 1.0, rise, rise, rng.uniform(0.75, 1.2)), count)
        throats = [closed, opened, opened] if rng.random() < 0.7 else [closed, opened, closed]
        return _shaped(_voiced(rng, pitch, throats, 0.08, rng.uniform(0.02, 0.1)), 0.15, 0.25)

    return moo


def sheep(rng: Generator) -> Call:
    """A bleat that trembles; lambs and goats are higher."""
    base_hz, tremble_hz = rng.uniform(140, 420), rng.uniform(6, 13)
    throat = [(650, 0.8), (rng.uniform(1400, 1900), 1.0), (2700, 0.6), (3900, 0.35)]

    def bleat() -> np.ndarray:
        count = samples(rng.uniform(0.4, 1.2))
        tremble = np.sin(2 * np.pi * tremble_hz * times(count))
        pitch = base_hz * along((0.95, 1.1, 1.0, 0.9), count) * (1 + 0.06 * tremble)
        voice = _voiced(rng, pitch, [throat], 0.2, 0.04) * (0.6 + 0.4 * tremble)
        return _shaped(voice, 0.12, 0.3)

    return bleat


def horse(rng: Generator) -> Call:
    """A whinny: high, then trembling down, with a snort at the end."""
    base_hz, tremble_hz = rng.uniform(600, 1100), rng.uniform(8, 14)
    throat = [(900, 0.7), (1700, 1.0), (2900, 0.7), (4200, 0.3)]

    def whinny() -> np.ndarray:
        count = samples(rng.uniform(1.0, 2.0))
        tremble = np.sin(2 * np.pi * tremble_hz * times(count)) * along((0, 1, 1, 1), count)
        pitch = base_hz * along((0.7, 1.2, 1.0, 0.7, 0.45), count) * (1 + 0.08 * tremble)
        voice = _voiced(rng, pitch, [throat], 0.2, 0.04) * (0.7 + 0.3 * tremble)
        snort = noise(rng, samples(0.4), 150, 1800) * (1 + np.sin(160 * times(samples(0.4))))
        ending = at_peak(faded(snort, 0.1), rng.uniform(0, 0.5))
        return np.concatenate([_shaped(voice, 0.08, 0.3), ending])

    return whinny


def pig(rng: Generator) -> Call:
    """Grunts, and a squeal here and there."""
    base_hz = rng.uniform(55, 110)
    snout = [(350, 1.0), (1100, 0.8), (2200, 0.5), (3600, 0.3)]

    def oink() -> np.ndarray:
        if rng.random() < 0.2:
            count = samples(rng.uniform(0.25, 0.6))
            pitch = rng.uniform(600, 1100) * along((0.6, 1.1, 1.0, 0.8), count)
            return _shaped(_voiced(rng, pitch, [snout], 0.3, 0.08), 0.1, 0.3)
        count = samples(rng.uniform(0.08, 0.25))
        pitch = base_hz * along((0.8, 1.2, 0.9), count)
        return _shaped(_voiced(rng, pitch, [snout], rng.uniform(0.4, 0.7), 0.15), 0.1, 0.4)

    return oink


def rooster(rng: Generator) -> Call:
    """Cock-a-doodle-doo: two short notes, a rising one, a long one that sinks at last."""
    base_hz = rng.uniform(420, 700)
    throat = [(900, 0.8), (1600, 1.0), (2700, 0.7), (3900, 0.3)]

    def crow() -> np.ndarray:
        notes = ((0.13, (0.7, 0.9, 0.8)), (0.12, (0.9, 1.1, 0.9)), (0.28, (1.0, 1.5, 1.4)),
                 (rng.uniform(0.6, 1.1), (1.4, 1.5, 1.4, 1.3, 0.8)))  # fmt: skip
        parts = []
        for seconds, shape in notes:
            count = samples(seconds * rng.uniform(0.85, 1.2))
            voice = _voiced(rng, base_hz * along(shape, count), [throat], 0.12, 0.03)
            parts += [_shaped(voice, 0.1, 0.2), np.zeros(samples(rng.uniform(0.01, 0.05)))]
        return np.concatenate(parts)

    return crow


def hen(rng: Generator) -> Call:
    """Clucks: short, cracked notes in a row."""
    base_hz = rng.uniform(350, 600)
    throat = [(800, 0.8), (1500, 1.0), (2600, 0.7)]

    def cluck() -> np.ndarray:
        count = samples(rng.uniform(0.05, 0.14) * (3 if rng.random() < 0.15 else 1))
        pitch = base_hz * along((0.8, 1.3, rng.uniform(0.6, 1.4)), count)
        return _shaped(_voiced(rng, pitch, [throat], 0.3, 0.08), 0.15, 0.4)

    return cluck


def duck(rng: Generator) -> Call:
    """Quacks: a nasal buzz."""
    base_hz = rng.uniform(170, 380)
    throat = [(rng.uniform(900, 1300), 1.0), (rng.uniform(1800, 2400), 0.9), (3200, 0.5)]

    def quack() -> np.ndarray:
        count = samples(rng.uniform(0.1, 0.25))
        pitch = base_hz * along((0.9, 1.1, rng.uniform(0.7, 0.9)), count)
        return _shaped(_voiced(rng, pitch, [throat], 0.15, 0.05), 0.1, 0.25)

    return quack


def crow(rng: Generator) -> Call:
    """Caws: hoarse, in the middle of what a human ear hears best."""
    base_hz, throat = (
        rng.uniform(380, 650),
        [(1000, 0.6), (rng.uniform(1400, 1900), 1.0), (3000, 0.4)],
    )

    def caw() -> np.ndarray:
        count = samples(rng.uniform(0.22, 0.5))
        pitch = base_hz * along((0.85, 1.05, 1.0, 0.85), count)
        return _shaped(_voiced(rng, pitch, [throat], rng.uniform(0.25, 0.5), 0.12), 0.15, 0.25)

    return caw


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
    buzz = harmonics(phase(pitch), rng.uniform(0.3, 1, 14) / np.arange(1, 15) ** 0.6)
    rustle = at_peak(noise(rng, count, 200, 5000), rng.uniform(0.02, 0.25))
    return faded((at_peak(buzz) + rustle) * curve(rng, count, 2, 0.25, 1), 0.05)


def cricket(rng: Generator, seconds: float) -> np.ndarray:
    """Groups of pulses of one high tone."""
    count = samples(seconds)
    clock, pulse_hz = times(count), rng.uniform(20, 60)
    tone = np.sin(2 * np.pi * rng.uniform(2800, 5500) * clock)
    group_s = rng.uniform(0.2, 0.8)
    inside = (clock % group_s) < rng.uniform(0.3, 0.7) * group_s
    return faded(
        band(tone * np.clip(np.sin(2 * np.pi * pulse_hz * clock), 0, 1) * inside, 1500, None)
    )


def frog(rng: Generator) -> Call:
    """Croaks: pulses, a few dozen a second, through one or two resonances."""
    rate_hz, throat = (
        rng.uniform(25, 90),
        [(rng.uniform(450, 1100), 1), (rng.uniform(1500, 2600), 0.6)],
    )

    def croak() -> np.ndarray:
        count = samples(rng.uniform(0.15, 0.55))
        pitch = rate_hz * along((0.9, 1.1, pick(rng, (0.8, 1.5))), count)
        return _shaped(_voiced(rng, pitch, [throat], 0.1, 0.03), 0.25, 0.25)

    return croak


def lion(rng: Generator) -> Call:
    """A roar or a growl: low, hoarse and full of breath."""
    base_hz, size = rng.uniform(40, 110), rng.uniform(0.9, 1.3)
    throats = [_scaled(((300, 1), (700, 0.5), (1800, 0.15)), size),
               _scaled(((550, 1), (1000, 0.8), (2000, 0.3)), size),
               _scaled(((350, 1), (800, 0.6), (1700, 0.2)), size)]  # fmt: skip

    def roar() -> np.ndarray:
        count = samples(rng.uniform(0.7, 2.0))
        pitch = base_hz * along((0.8, 1.3, 1.2, 0.8), count)
        return _shaped(_voiced(rng, pitch, throats, rng.uniform(0.4, 0.7), 0.2), 0.25, 0.4)

    return roar
