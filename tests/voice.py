"""A sound that voice activity detectors take for a person: syllables of a buzzing throat."""

import numpy as np


def voice(seconds: float, rate: int = 16_000, pitch_hz: float = 120.0) -> np.ndarray:
    """(T,) float32, loud from the first to the last sample."""
    time = np.arange(round(seconds * rate)) / rate
    throat = sum(np.sin(2 * np.pi * pitch_hz * n * time) / n for n in range(1, 20))
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    return (0.15 * throat * syllables).astype(np.float32)


def silence(seconds: float, rate: int = 16_000) -> np.ndarray:
    """(T,) float32 zeros."""
    return np.zeros(round(seconds * rate), np.float32)
