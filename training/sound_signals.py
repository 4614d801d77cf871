"""Building blocks of the synthesised sounds: noise, curves, resonances, envelopes.

Everything is 16 kHz, float64, drawn from a numpy generator and from nothing else: the same state
gives the same sound. Axis letters: T time, in samples.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, sosfilt

from training.synthesizers import SAMPLE_RATE_HZ

Choice = TypeVar("Choice")


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


def _on_grid(frequency_hz: float) -> float:
    """The nearest of 24 steps an octave, so that one filter's design serves many sounds."""
    return 2 ** (round(24 * np.log2(frequency_hz)) / 24)


@lru_cache(maxsize=4096)
def _sections(low_hz: float | None, high_hz: float | None) -> np.ndarray:
    if low_hz is None:
        return butter(2, high_hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos")
    if high_hz is None:
        return butter(2, low_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    return butter(2, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")


def band(waveform: np.ndarray, low_hz: float | None, high_hz: float | None) -> np.ndarray:
    """(T,) what lies between two frequencies; None leaves that side open. 12 dB an octave."""
    low_hz, high_hz = (edge and _on_grid(edge) for edge in (low_hz, high_hz))
    return sosfilt(_sections(low_hz, high_hz), waveform)


def noise(
    rng: Generator, num_samples: int, low_hz: float | None = None, high_hz: float | None = None
) -> np.ndarray:
    """(T,) Gaussian noise with an RMS of 1 before the optional band is cut out of it."""
    white = rng.standard_normal(num_samples)
    return white if low_hz is None and high_hz is None else band(white, low_hz, high_hz)


def curve(rng: Generator, num_samples: int, rate_hz: float, low: float, high: float) -> np.ndarray:
    """(T,) a smooth wander between two values that turns about `rate_hz` times a second."""
    count = max(2, round(num_samples / SAMPLE_RATE_HZ * rate_hz)) + 2
    knots = rng.uniform(low, high, count)
    position = np.linspace(0, count - 1.001, num_samples)
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


def ring(num_samples: int, frequency_hz: float, time_constant_s: float) -> np.ndarray:
    """(T,) one struck resonance; after eight time constants (-70 dB) it is silent."""
    sounding = min(num_samples, samples(8 * time_constant_s))
    sine = np.sin(2 * np.pi * frequency_hz * times(sounding))
    return np.pad(sine * decay(sounding, time_constant_s), (0, num_samples - sounding))


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


def add_at(mix: np.ndarray, piece: np.ndarray, start: int, gain: float = 1.0) -> None:
    """Add a piece to a mix in place; what would lie beyond its end is cut off."""
    end = min(len(mix), start + len(piece))
    if start < end:
        mix[start:end] += gain * piece[: end - start]


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
