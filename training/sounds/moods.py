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

from training.sounds.signals import SAMPLE_RATE_HZ, along, at_peak, noise

_FRAME_MS = 5.0


@dataclass(frozen=True)
class Mood:
    """Ranges to draw from, each beside what the voice does anyway.

    pitch: factor; span: factor of the pitch's distance from its mean; tempo: factor;
    tilt_db: per octave above 500 Hz; breath: added share of noise, 0 to 1; final: semitones that
    the pitch has risen by at the end; accents: semitones of a swing a few times a second;
    rough: unsteadiness of the pitch and drive of the voice; peak_db: level.
    """

    pitch: tuple[float, float]
    span: tuple[float, float]
    tempo: tuple[float, float]
    tilt_db: tuple[float, float]
    breath: tuple[float, float] = (0.0, 0.0)
    final: tuple[float, float] = (0.0, 0.0)
    accents: tuple[float, float] = (0.0, 0.0)
    rough: tuple[float, float] = (0.0, 0.0)
    peak_db: tuple[float, float] = (-14.0, -5.0)


MOODS = {
    "neutral": Mood((0.97, 1.03), (0.9, 1.1), (0.96, 1.04), (-0.5, 0.5)),
    "happy": Mood((1.2, 1.38), (1.4, 1.8), (1.08, 1.22), (0.8, 2.0), accents=(1.2, 2.5),
                  peak_db=(-10, -3)),
    "sad": Mood((0.8, 0.92), (0.2, 0.5), (0.7, 0.82), (-4.5, -2.5), (0.25, 0.5), (-3.5, -1.5),
                peak_db=(-22, -10)),
    "angry": Mood((1.0, 1.18), (1.1, 1.5), (1.08, 1.25), (2.0, 4.0), final=(-4, -1),
                  rough=(0.5, 1.0), peak_db=(-5, -1)),
    "surprised": Mood((1.3, 1.55), (1.2, 1.6), (0.92, 1.05), (0.0, 1.5), (0.0, 0.15), (8, 13),
                      peak_db=(-10, -3)),
}  # fmt: skip
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
    breath = rng.uniform(*mood.breath)
    noisiness = np.clip(noisiness * (1 - breath) + breath * np.minimum(1, octaves / 3), 1e-3, 1)
    spoken = pyworld.synthesize(
        pitch, np.ascontiguousarray(envelope), noisiness, SAMPLE_RATE_HZ, _FRAME_MS
    )
    if mood.rough[1]:
        spoken = np.tanh(rng.uniform(2, 5) * at_peak(spoken))  # pressed, as when shouting
    return at_peak(spoken, 10 ** (rng.uniform(*mood.peak_db) / 20))


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
    octaves += rng.uniform(*mood.rough) * 0.02 * noise(rng, count)
    return np.where(voiced, np.clip(2**octaves, 60, 700), 0.0)
