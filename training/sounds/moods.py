"""Speech in one of five moods.

The teacher of the shards speaks without feeling, so a mood is made of its sentences with the WORLD
vocoder (Morise et al. 2016): pitch, its range and contour, tempo, energy, tilt and breath.
Axis letters: T time in samples, F frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyworld
from numpy.random import Generator

from training.sounds.signals import (
    SAMPLE_RATE_HZ,
    along,
    at_peak,
    curve,
    formants,
    noise,
    phase,
    pulses,
    samples,
)

_FRAME_MS = 8.0
Range = tuple[float, float]


@dataclass(frozen=True)
class Mood:
    """Ranges to draw from, each beside what the voice does anyway.

    pitch: factor; span: factor of the pitch's distance from its mean; tempo: factor; throat: factor
    of the resonances, above 1 with a smile or an open mouth; tilt_db: per octave above 500 Hz;
    breath: added share of noise, 0 to 1; final: semitones that the pitch has risen by at the end;
    accents: semitones of a swing a few times a second; rough: depth of the roughness of a shout,
    0 to 1 (Arnal et al. 2015: loudness that shakes 30 to 150 times a second); peak_db: level.
    """

    pitch: Range
    span: Range
    tempo: Range
    throat: Range = (0.98, 1.02)
    tilt_db: Range = (-0.5, 0.5)
    breath: Range = (0.0, 0.0)
    final: Range = (0.0, 0.0)
    accents: Range = (0.0, 0.0)
    rough: Range = (0.0, 0.0)
    peak_db: Range = (-14.0, -6.0)


MOODS = {
    "neutral": Mood((0.97, 1.03), (0.85, 1.1), (0.95, 1.05)),
    "happy": Mood(
        (1.25, 1.45), (1.4, 1.9), (1.1, 1.25), (1.05, 1.1), (0.5, 2.0), accents=(1.5, 3.0),
        peak_db=(-9, -3),
    ),
    "sad": Mood(
        (0.76, 0.88), (0.15, 0.4), (0.62, 0.76), (0.93, 0.98), (-5.5, -3.0), (0.35, 0.65),
        (-4.0, -2.0), peak_db=(-24, -12),
    ),
    "angry": Mood(
        (0.95, 1.15), (1.1, 1.5), (1.15, 1.35), (0.93, 0.99), (2.5, 5.0), final=(-6, -3),
        rough=(0.6, 1.0), peak_db=(-4, -1),
    ),
    "surprised": Mood(
        (1.3, 1.6), (1.0, 1.4), (0.85, 1.0), (1.03, 1.1), (-0.5, 1.0), (0.05, 0.2), (10, 16),
        peak_db=(-10, -4),
    ),
}  # fmt: skip
_OUTBURSTS = 0.6  # of the sentences in a mood come with the sound that people make in it
EMOTIONS = tuple(MOODS)


def in_mood(rng: Generator, waveform: np.ndarray, emotion: str) -> np.ndarray:
    """(T,) the same sentence in a mood, with its level set. emotion: of EMOTIONS."""
    mood = MOODS[emotion]
    pitch, times_s = pyworld.dio(waveform, SAMPLE_RATE_HZ, 65, 500, frame_period=_FRAME_MS)
    pitch = pyworld.stonemask(waveform, pitch, times_s, SAMPLE_RATE_HZ)
    envelope = pyworld.cheaptrick(waveform, pitch, times_s, SAMPLE_RATE_HZ)
    noisiness = pyworld.d4c(waveform, pitch, times_s, SAMPLE_RATE_HZ)
    count = round(len(pitch) / rng.uniform(*mood.tempo))
    at = np.round(np.linspace(0, len(pitch) - 1, count)).astype(int)
    pitch, envelope, noisiness = pitch[at], envelope[at], noisiness[at]
    pitch = _moved(rng, pitch, mood)
    octaves = np.log2(np.maximum(np.linspace(1, SAMPLE_RATE_HZ / 2, envelope.shape[1]) / 500, 1))
    envelope = envelope * 10 ** (rng.uniform(*mood.tilt_db) * octaves / 10)
    envelope = _stretched(envelope, rng.uniform(*mood.throat))
    breath = rng.uniform(*mood.breath)
    noisiness = np.clip(noisiness * (1 - breath) + breath * np.minimum(1, octaves / 3), 1e-3, 1)
    spoken = pyworld.synthesize(
        pitch, np.ascontiguousarray(envelope), noisiness, SAMPLE_RATE_HZ, _FRAME_MS
    )
    if mood.rough[1]:
        shaking = np.sin(phase(rng.uniform(30, 75) * curve(rng, len(spoken), 8, 0.7, 1.3)))
        spoken = at_peak(spoken) * (1 + rng.uniform(*mood.rough) * shaking)
        spoken += 0.5 * np.abs(spoken) * noise(rng, len(spoken), 1200, 5000)  # hoarse
        spoken = np.tanh(rng.uniform(3, 8) * spoken)  # pressed, as when shouting
    if emotion in _SOUNDS and rng.random() < _OUTBURSTS:
        voice_hz = float(np.median(pitch[pitch > 0])) if pitch.any() else 200.0
        spoken = _SOUNDS[emotion](rng, at_peak(spoken), voice_hz)
    return at_peak(spoken, 10 ** (rng.uniform(*mood.peak_db) / 20))


def _stretched(envelope: np.ndarray, factor: float) -> np.ndarray:
    """(F, bins) with its resonances moved up by a factor."""
    bins = envelope.shape[1]
    source = np.minimum(np.arange(bins) / factor, bins - 1.001)
    left = source.astype(int)
    return envelope[:, left] + (source - left) * (envelope[:, left + 1] - envelope[:, left])


def _laughing(rng: Generator, spoken: np.ndarray, voice_hz: float) -> np.ndarray:
    """Ends with a few breathy "ha"."""
    mouth, parts = ((750, 1.0), (1250, 0.7), (2700, 0.4)), [spoken]
    for index in range(int(rng.integers(3, 7))):
        count = samples(rng.uniform(0.08, 0.13))
        pitch = voice_hz * rng.uniform(1.2, 1.5) * 0.96**index * np.linspace(1.1, 0.9, count)
        source = at_peak(pulses(pitch)) + 0.5 * noise(rng, count, None, 3500)
        ha = at_peak(formants(source, mouth)) * np.hanning(count)
        parts += [0.85**index * rng.uniform(0.4, 0.6) * ha, np.zeros(samples(0.06))]
    return np.concatenate(parts)


def _gasping(rng: Generator, spoken: np.ndarray, voice_hz: float) -> np.ndarray:
    """Begins with a breath that is drawn in."""
    count = samples(rng.uniform(0.25, 0.5))
    breath = formants(noise(rng, count), ((900, 0.6), (1700, 1.0), (3000, 0.8)))
    swelling = np.linspace(0, 1, count) ** 1.5 * np.minimum(1, np.linspace(8, 0, count))
    gasp = at_peak(breath * swelling, rng.uniform(0.2, 0.45))
    return np.concatenate([gasp, np.zeros(samples(rng.uniform(0.05, 0.15))), spoken])


def _sighing(rng: Generator, spoken: np.ndarray, voice_hz: float) -> np.ndarray:
    """Begins with a long breath that is let go."""
    count = samples(rng.uniform(0.5, 0.9))
    breath = formants(noise(rng, count), ((450, 1.0), (1100, 0.8), (2300, 0.3)))
    sinking = np.minimum(1, np.linspace(0, 6, count)) * np.linspace(1, 0, count) ** 1.2
    sigh = at_peak(breath * sinking, rng.uniform(0.2, 0.45))
    return np.concatenate([sigh, np.zeros(samples(rng.uniform(0.1, 0.3))), spoken])


_SOUNDS = {"happy": _laughing, "surprised": _gasping, "sad": _sighing}


def _moved(rng: Generator, pitch_hz: np.ndarray, mood: Mood) -> np.ndarray:
    """(F,) the contour in a mood; 0 where there is no voice."""
    voiced = pitch_hz > 0
    if not voiced.any():
        return pitch_hz
    count = len(pitch_hz)
    octaves = np.log2(np.where(voiced, pitch_hz, 1))
    mean = octaves[voiced].mean()
    first, last = np.flatnonzero(voiced)[[0, -1]]
    place = np.clip((np.arange(count) - first) / max(1, last - first), 0, 1)
    begin = rng.uniform(0.4, 0.65)  # where the last rise or fall of the pitch sets in
    octaves = mean + (octaves - mean) * rng.uniform(*mood.span) + np.log2(rng.uniform(*mood.pitch))
    octaves += rng.uniform(*mood.final) / 12 * np.clip((place - begin) / (1 - begin), 0, 1) ** 1.3
    swings = along(rng.uniform(-1, 1, max(3, round(count * _FRAME_MS / 160))), count)
    octaves += rng.uniform(*mood.accents) / 12 * swings
    octaves += rng.uniform(*mood.rough) * 0.03 * noise(rng, count)
    return np.where(voiced, np.clip(2**octaves, 60, 700), 0.0)
