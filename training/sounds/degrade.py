"""What recordings do to a sound, drawn while training: noise, a small room, level, speed, the band
of a telephone or of a poor codec, silence around it.

Waveforms are (T,) float32 at 16 kHz in [-1, 1].
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import soxr
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import oaconvolve

from training.sounds import textures
from training.sounds.signals import (
    SAMPLE_RATE_HZ,
    add_at,
    band,
    coloured,
    decay,
    gain,
    generator_of,
    pick,
    samples,
)
from training.sounds.voices import SPEECH, Voices

SNR_DB = (5.0, 25.0)
REVERBERATION_S = (0.12, 0.5)
SPEED = (0.9, 1.1)
SILENCE_S = (0.0, 1.5)
PEAK_DB = (-30.0, -1.0)
BACKGROUND_S = 20.0
BABBLE_VOICES = 6

_TEXTURES = (textures.rain, textures.wind, textures.engine, textures.running_water)


def make_backgrounds(rng: Generator, voices: Voices | None = None) -> list[np.ndarray]:
    """Noises of 20 s to cut pieces from: white to brown, weather, engines; babble of voices."""
    length = samples(BACKGROUND_S)
    noises = [coloured(rng, length, slope) for slope in (0.0, 0.3, 0.5, 0.5, 0.8)]
    noises += [texture(rng, BACKGROUND_S) for texture in _TEXTURES for _ in range(3)]
    noises += [_street(rng) for _ in range(2)]
    if voices:
        noises += [_babble(rng, voices) for _ in range(6)]
    return [(noise / max(noise.std(), 1e-9)).astype(np.float32) for noise in noises]


def _street(rng: Generator) -> np.ndarray:
    """A far hum of traffic, and cars that pass."""
    hum = coloured(rng, samples(BACKGROUND_S), 1.0)
    for _ in range(8):
        car = textures.engine(rng, rng.uniform(2, 5))
        start = int(rng.integers(len(hum)))
        add_at(hum, car, start, rng.uniform(0.5, 2.5))
    return hum


def _babble(rng: Generator, voices: Voices) -> np.ndarray:
    mix = np.zeros(samples(BACKGROUND_S))
    for _ in range(BABBLE_VOICES * 7):
        start = int(rng.integers(-samples(2), len(mix)))
        voice = voices.draw(rng, pick(rng, SPEECH))[max(0, -start) :]
        add_at(mix, voice, max(0, start), rng.uniform(0.4, 1.0))
    return mix


def in_noise(waveform: np.ndarray, noise: np.ndarray, rng: Generator, snr_db: float) -> np.ndarray:
    """Adds a piece of a noise at a ratio of mean powers; a noise that is too short begins again."""
    start = int(rng.integers(len(noise)))
    piece = np.take(noise, np.arange(start, start + len(waveform)), mode="wrap")
    power = np.dot(waveform, waveform) / max(float(np.dot(piece, piece)), 1e-12)
    return waveform + piece * np.float32(np.sqrt(power * 10 ** (-snr_db / 10)))


def in_room(waveform: np.ndarray, rng: Generator, reverberation_s: float) -> np.ndarray:
    """Early echoes and a tail of noise that falls by 60 dB in the given time, longer in the lows.

    The direct sound stays where it was, and so does the length.
    """
    length = samples(reverberation_s)
    tail = rng.standard_normal(length) * decay(length, reverberation_s / 6.9)
    tail = 0.6 * tail + 0.6 * band(tail, None, rng.uniform(1500, 5000))
    tail *= rng.uniform(0.02, 0.1)
    tail[: samples(rng.uniform(0.002, 0.02))] = 0
    for _ in range(6):
        tail[int(rng.integers(16, min(length, samples(0.03))))] += rng.uniform(-0.4, 0.4)
    tail[0] = 1.0
    return oaconvolve(waveform, tail.astype(np.float32))[: len(waveform)]


def equalised(waveform: np.ndarray, rng: Generator) -> np.ndarray:
    """Through the curve of some microphone or distance: up to 8 dB more or less in each octave."""
    length = next_fast_len(len(waveform), real=True)
    spectrum = rfft(waveform, length)
    octaves = np.log2(np.linspace(0.01, 1, len(spectrum)) * 100)  # 0 to 6.6 above 80 Hz
    curve_db = np.interp(octaves, np.arange(8), rng.uniform(-8, 8, 8))
    return irfft(spectrum * 10 ** (curve_db / 20), length)[: len(waveform)]


def through_telephone(waveform: np.ndarray, rng: Generator) -> np.ndarray:
    """Sampled at 8 kHz, 200-300 to 3400 Hz, sometimes in the 8 bits of mu-law."""
    narrow = soxr.resample(waveform, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ // 2, quality="MQ")
    if rng.random() < 0.5:
        largest = max(float(np.abs(narrow).max()), 1e-9)
        companded = np.sign(narrow) * np.log1p(255 * np.abs(narrow / largest)) / np.log(256)
        coded = np.round(companded * 127) / 127
        narrow = np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255 * largest
    wide = soxr.resample(narrow.astype(np.float32), SAMPLE_RATE_HZ // 2, SAMPLE_RATE_HZ, "MQ")
    wide = band(wide, pick(rng, (None, 200, 300)), 3700)
    return np.pad(wide, (0, max(0, len(waveform) - len(wide))))[: len(waveform)]


def through_codec(waveform: np.ndarray, rng: Generator) -> np.ndarray:
    """Without its highs, and sometimes without its lows, as small microphones leave it."""
    return band(waveform, pick(rng, (None, 100, 200)), rng.uniform(2800, 7000))


def at_speed(waveform: np.ndarray, rng: Generator) -> np.ndarray:
    """Played faster or slower; pitch goes along."""
    rate = SAMPLE_RATE_HZ * rng.uniform(*SPEED)
    return soxr.resample(waveform, rate, SAMPLE_RATE_HZ, quality="MQ")


def degrade(
    waveform: np.ndarray,
    rng: Generator | random.Random,
    probability: float = 0.6,
    backgrounds: Sequence[np.ndarray] = (),
    silence_s: tuple[float, float] = SILENCE_S,
) -> np.ndarray:
    """One way in which a sound might have been recorded: (T',) float32.

    probability: of silence around it, and, by itself, of one to three degradations. The level is
    always drawn anew. backgrounds: of `make_backgrounds`; without any, only hiss is added.
    """
    rng = generator_of(rng)
    heard = np.asarray(waveform, np.float32)
    if rng.random() < probability:
        around = samples(rng.uniform(*silence_s)), samples(rng.uniform(*silence_s))
        heard = np.pad(heard, around)
    if rng.random() < probability:
        heard = _one_to_three(rng, backgrounds)(heard)
    peak = max(float(np.abs(heard).max(initial=0)), 1e-9)
    return (heard * (min(gain(rng, *PEAK_DB), 0.99) / peak)).astype(np.float32)


def _one_to_three(
    rng: Generator, backgrounds: Sequence[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """Some degradations in the order in which a recording meets them."""
    steps = (
        (0.3, lambda heard: at_speed(heard, rng)),
        (0.45, lambda heard: in_room(heard, rng, rng.uniform(*REVERBERATION_S))),
        (0.6, lambda heard: in_noise(heard, _noise(rng, backgrounds), rng, rng.uniform(*SNR_DB))),
        (0.4, lambda heard: pick(rng, (through_telephone, through_codec))(heard, rng)),
    )
    chosen = [step for share, step in steps if rng.random() < share] or [steps[2][1]]

    def recorded(heard: np.ndarray) -> np.ndarray:
        for step in chosen[:3]:
            heard = step(heard)
        return heard

    return recorded


def _noise(rng: Generator, backgrounds: Sequence[np.ndarray]) -> np.ndarray:
    return pick(rng, backgrounds) if backgrounds else rng.standard_normal(32_000, np.float32)
