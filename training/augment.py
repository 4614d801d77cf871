"""What real recordings do to speech: noise, a small room, a telephone's band, another level, and
silence around it.

Axis letters: T time, in samples at 16 kHz.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from scipy.signal import fftconvolve, resample_poly

from training.synthesizers import Phone, Utterance

SAMPLE_RATE_HZ = 16_000
SNR_DB = (8.0, 25.0)
REVERBERATION_S = (0.15, 0.45)
GAIN_DB = (-15.0, 3.0)
SILENCE_S = (0.05, 0.5)


def with_noise(waveform: np.ndarray, generator: Generator, snr_db: float) -> np.ndarray:
    """Adds coloured noise, between white and brown, at a ratio of mean powers."""
    white = np.fft.rfft(generator.standard_normal(len(waveform)))
    colour = generator.uniform(0.0, 0.9)
    noise = np.fft.irfft(white / np.arange(1, len(white) + 1) ** colour, len(waveform))
    power = np.mean(waveform**2) / max(np.mean(noise**2), 1e-12)
    return waveform + noise * np.sqrt(power * 10 ** (-snr_db / 10))


def in_room(waveform: np.ndarray, generator: Generator, reverberation_s: float) -> np.ndarray:
    """Convolves with noise that decays by 60 dB in the given time, behind the direct sound."""
    taps = np.arange(int(reverberation_s * SAMPLE_RATE_HZ))
    tail = generator.standard_normal(len(taps)) * 10 ** (-3 * taps / len(taps))
    response = 0.06 * tail
    response[0] = 1.0
    return fftconvolve(waveform, response)[: len(waveform)]


def through_telephone(waveform: np.ndarray) -> np.ndarray:
    """Only what 8 kHz sampling leaves."""
    return resample_poly(resample_poly(waveform, 1, 2), 2, 1)[: len(waveform)]


def degraded(samples: np.ndarray, rng: random.Random) -> np.ndarray:
    """One or two of these, at random strength. samples and result: (T,) int16."""
    generator = np.random.default_rng(rng.getrandbits(64))
    waveform = samples.astype(np.float64) / 32768
    kinds = rng.sample(("noise", "room", "telephone"), rng.choice((1, 1, 2)))
    if "room" in kinds:
        waveform = in_room(waveform, generator, generator.uniform(*REVERBERATION_S))
    if "telephone" in kinds:
        waveform = through_telephone(waveform)
    if "noise" in kinds:
        waveform = with_noise(waveform, generator, generator.uniform(*SNR_DB))
    waveform = waveform * 10 ** (generator.uniform(*GAIN_DB) / 20)
    peak = np.abs(waveform).max()
    scaled = waveform * min(1.0, 0.99 / max(peak, 1e-9)) * 32767
    return scaled.round().astype(np.int16)


def within_silence(utterance: Utterance, rng: random.Random) -> Utterance:
    """Some silence before it and some after it; its phones move along."""
    before_s, after_s = rng.uniform(*SILENCE_S), rng.uniform(*SILENCE_S)
    around = (int(before_s * SAMPLE_RATE_HZ), int(after_s * SAMPLE_RATE_HZ))
    phones = utterance.phones
    if phones:
        end_s = phones[-1].end_s + before_s
        moved = (Phone(p.name, p.start_s + before_s, p.end_s + before_s) for p in phones)
        phones = (Phone("pau", 0.0, before_s), *moved, Phone("pau", end_s, end_s + after_s))
    return replace(utterance, waveform=np.pad(utterance.waveform, around), phones=phones)
