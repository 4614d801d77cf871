"""Building blocks of the synthesised sounds: noise, curves, resonances, envelopes, rooms.

Everything is 16 kHz, float64, and drawn from a numpy generator alone: the same state gives the same
sound. Axis letters: T time, in samples.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, fftconvolve, iirpeak, sosfilt, tf2sos

SAMPLE_RATE_HZ = 16_000
Choice = TypeVar("Choice")


def generator_of(rng: Generator | random.Random) -> Generator:
    """A numpy generator as it is; one that follows from the state of Python's own otherwise."""
    return rng if isinstance(rng, Generator) else np.random.default_rng(rng.getrandbits(64))


def samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def pick(rng: Generator, choices: Sequence[Choice]) -> Choice:
    """One of them as it is; the generator's own `choice` would turn it into an array's element."""
    return choices[int(rng.integers(len(choices)))]


def times(num_samples: int) -> np.ndarray:
    """(T,) seconds since the start."""
    return np.arange(num_samples) / SAMPLE_RATE_HZ


def decay(num_samples: int, time_constant_s: float) -> np.ndarray:
    """(T,) from 1 down to 1/e after the time constant."""
    return np.exp(-times(num_samples) / time_constant_s)


def gain(rng: Generator, low_db: float, high_db: float) -> float:
    """A factor whose level is drawn evenly in decibels."""
    return 10 ** (rng.uniform(low_db, high_db) / 20)


def _on_grid(frequency_hz: float) -> float:
    """The nearest of 24 steps an octave, so that one filter's design serves many sounds."""
    return min(7600.0, 2 ** (round(24 * np.log2(frequency_hz)) / 24))


@lru_cache(maxsize=4096)
def _sections(low_hz: float | None, high_hz: float | None) -> np.ndarray:
    if low_hz is None:
        return butter(2, high_hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos")
    if high_hz is None:
        return butter(2, low_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    return butter(2, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")


@lru_cache(maxsize=4096)
def _peak(frequency_hz: float, quality: float) -> np.ndarray:
    return tf2sos(*iirpeak(frequency_hz, quality, fs=SAMPLE_RATE_HZ))


def band(waveform: np.ndarray, low_hz: float | None, high_hz: float | None) -> np.ndarray:
    """(T,) what lies between two frequencies; None leaves that side open. 12 dB an octave."""
    low_hz, high_hz = (edge and _on_grid(edge) for edge in (low_hz, high_hz))
    return sosfilt(_sections(low_hz, high_hz), waveform)


def formants(waveform: np.ndarray, peaks: Iterable[tuple[float, float]]) -> np.ndarray:
    """(T,) through resonances of a throat side by side. peaks: (frequency in hertz, strength)."""
    total = 0.01 * waveform
    for frequency_hz, strength in peaks:
        quality = round(2 + frequency_hz / 400)  # bands of 100 to 350 Hz, as throats have
        total = total + strength * sosfilt(_peak(_on_grid(frequency_hz), quality), waveform)
    return total


def noise(
    rng: Generator, num_samples: int, low_hz: float | None = None, high_hz: float | None = None
) -> np.ndarray:
    """(T,) Gaussian noise with an RMS of 1 before the optional band is cut out of it."""
    white = rng.standard_normal(num_samples)
    return white if low_hz is None and high_hz is None else band(white, low_hz, high_hz)


def coloured(rng: Generator, num_samples: int, slope: float) -> np.ndarray:
    """(T,) noise of RMS 1 whose amplitude falls as f^-slope: 0 white, 0.5 pink, 1 brown."""
    length = next_fast_len(num_samples, real=True)
    spectrum = rfft(rng.standard_normal(length))
    bins = np.maximum(np.arange(len(spectrum)), max(1, length * 40 / SAMPLE_RATE_HZ))
    shaped = irfft(spectrum * bins**-slope, length)[:num_samples]
    return shaped / max(shaped.std(), 1e-12)


def curve(rng: Generator, num_samples: int, rate_hz: float, low: float, high: float) -> np.ndarray:
    """(T,) a smooth wander between two values that turns about `rate_hz` times a second."""
    count = max(2, round(num_samples / SAMPLE_RATE_HZ * rate_hz)) + 2
    return along(rng.uniform(low, high, count), num_samples)


def along(knots: Sequence[float] | np.ndarray, num_samples: int) -> np.ndarray:
    """(T,) evenly spaced values joined by smooth steps."""
    knots = np.asarray(knots, float)
    position = np.linspace(0, len(knots) - 1.001, num_samples)
    left = position.astype(int)
    blend = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    return knots[left] * (1 - blend) + knots[left + 1] * blend


def phase(frequency_hz: np.ndarray) -> np.ndarray:
    """(T,) hertz at each sample -> radians."""
    return 2 * np.pi * np.cumsum(frequency_hz) / SAMPLE_RATE_HZ


def harmonics(angle: np.ndarray, amplitudes: Iterable[float]) -> np.ndarray:
    """(T,) the sum of the multiples of a phase, the first amplitude being the fundamental's.

    sin(k x) comes from the two sines before it, which is many times faster than asking for it.
    """
    before, sine, twice_cosine = np.zeros(len(angle)), np.sin(angle), 2 * np.cos(angle)
    total = np.zeros(len(angle))
    for amplitude in amplitudes:
        total += amplitude * sine
        before, sine = sine, twice_cosine * sine - before
    return total


def tone(frequency_hz: np.ndarray, amplitudes: Sequence[float] | np.ndarray) -> np.ndarray:
    """(T,) a tone that glides, with as many of its overtones as fit below 7.5 kHz."""
    fitting = max(1, int(7500 / frequency_hz.max()))
    return harmonics(phase(frequency_hz), amplitudes[:fitting])


def pulses(frequency_hz: np.ndarray, reach_hz: float = 5000) -> np.ndarray:
    """(T,) a throat's pulses, one a period, with overtones up to about `reach_hz`."""
    sharpness = (reach_hz / frequency_hz) ** 2 / 6
    return np.exp(sharpness * (np.cos(phase(frequency_hz)) - 1)) * np.sqrt(sharpness)


def ring(num_samples: int, frequency_hz: float, time_constant_s: float) -> np.ndarray:
    """(T,) one struck resonance; after eight time constants (-70 dB) it is silent."""
    sounding = min(num_samples, samples(8 * time_constant_s))
    sine = np.sin(2 * np.pi * frequency_hz * times(sounding))
    return np.pad(sine * decay(sounding, time_constant_s), (0, num_samples - sounding))


def burst(rng: Generator, low_hz: float, high_hz: float, time_constant_s: float) -> np.ndarray:
    """A puff of noise with a peak of 1."""
    num_samples = samples(6 * time_constant_s)
    return at_peak(noise(rng, num_samples, low_hz, high_hz) * decay(num_samples, time_constant_s))


def faded(waveform: np.ndarray, seconds: float = 0.01) -> np.ndarray:
    """(T,) the same with soft edges, so that no sound begins or ends with a click."""
    count = min(samples(seconds), len(waveform) // 2)
    ramp = np.linspace(0, 1, count, endpoint=False)
    gains = np.ones(len(waveform))
    gains[:count], gains[len(waveform) - count :] = ramp, ramp[::-1]
    return waveform * gains


def at_peak(waveform: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """(T,) the same with its largest sample at `peak`; silence stays silence."""
    largest = np.abs(waveform).max(initial=0.0)
    return waveform * (peak / largest) if largest > 0 else waveform


def add_at(mix: np.ndarray, piece: np.ndarray, start: int, strength: float = 1.0) -> None:
    """Add a piece to a mix in place; what would lie beyond its end is cut off."""
    end = min(len(mix), start + len(piece))
    if start < end:
        mix[start:end] += strength * piece[: end - start]


def struck(
    num_samples: int, onsets_s: Iterable[float], hit: Callable[[int], np.ndarray]
) -> np.ndarray:
    """(T,) a hit at each onset; `hit` gets the number of the stroke and gives its sound."""
    mix = np.zeros(num_samples)
    for index, onset_s in enumerate(onsets_s):
        add_at(mix, hit(index), samples(onset_s))
    return mix


def steady_onsets(
    rng: Generator, seconds: float, interval_s: float, jitter: float = 0.03
) -> list[float]:
    """Onsets in seconds at a nearly even pace, as long as there is room for one more."""
    onsets, onset_s = [], rng.uniform(0.02, 0.15)
    while onset_s < seconds - 0.1:
        onsets.append(onset_s)
        onset_s += interval_s * (1 + rng.uniform(-jitter, jitter))
    return onsets


def showered(
    rng: Generator, num_samples: int, rate_hz: float, drops: Sequence[np.ndarray]
) -> np.ndarray:
    """(T,) drops of a few kinds falling at random moments with random strengths."""
    mix = np.zeros(num_samples)
    for drop in drops:
        count = rng.poisson(rate_hz * num_samples / SAMPLE_RATE_HZ / len(drops))
        train = np.zeros(num_samples)
        train[rng.integers(num_samples, size=count)] = rng.exponential(1.0, count)
        mix += fftconvolve(train, drop)[:num_samples]
    return mix
