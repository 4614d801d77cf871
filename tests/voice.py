"""A sound that voice activity detectors take for a person: a clip of the examples, repeated."""

from functools import cache
from pathlib import Path

import numpy as np

from kimi_demo.audio import read

CLIP = Path(__file__).parents[1] / "examples" / "audio" / "voice-woman-zh.wav"
SPOKEN_S = (0.1, 2.3)  # without the silence at both ends


def voice(seconds: float, rate: int = 16_000) -> np.ndarray:
    """(T,) float32, speech from the first to the last sample."""
    return np.resize(_spoken(rate), round(seconds * rate))


@cache
def _spoken(rate: int) -> np.ndarray:
    start, end = (round(s * rate) for s in SPOKEN_S)
    return read(CLIP, sample_rate=rate).waveform[start:end]


def silence(seconds: float, rate: int = 16_000) -> np.ndarray:
    """(T,) float32 zeros."""
    return np.zeros(round(seconds * rate), np.float32)
