"""Degradations that are drawn while training."""

import random

import numpy as np
import pytest

from training.sounds.degrade import (
    PEAK_DB,
    SILENCE_S,
    SPEED,
    degrade,
    in_noise,
    in_room,
    make_backgrounds,
    through_telephone,
)
from training.sounds.signals import SAMPLE_RATE_HZ

TONE = np.sin(np.arange(2 * SAMPLE_RATE_HZ) * 0.3).astype(np.float32) * 0.4


def _power_above(waveform: np.ndarray, hz: float) -> float:
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float(power[round(hz * len(waveform) / SAMPLE_RATE_HZ) :].sum() / power.sum())


def test_degraded_sound_is_sound() -> None:
    backgrounds = make_backgrounds(np.random.default_rng(1))
    rng = random.Random(2)
    longest = len(TONE) / SPEED[0] + 2 * SILENCE_S[1] * SAMPLE_RATE_HZ
    for _ in range(40):
        heard = degrade(TONE, rng, 0.9, backgrounds)
        assert heard.dtype == np.float32
        assert len(TONE) / SPEED[1] - 1 <= len(heard) <= longest + 1
        assert np.isfinite(heard).all()
        peak_db = 20 * np.log10(np.abs(heard).max())
        assert PEAK_DB[0] - 0.01 <= peak_db <= PEAK_DB[1] + 0.01


def test_probability_of_nothing_changes_only_the_level() -> None:
    heard = degrade(TONE, random.Random(1), 0.0)
    np.testing.assert_allclose(heard / np.abs(heard).max(), TONE / np.abs(TONE).max(), atol=1e-5)


def test_same_state_gives_the_same() -> None:
    first, second = (degrade(TONE, random.Random(4), 1.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_noise_has_its_ratio() -> None:
    noise = np.random.default_rng(1).standard_normal(9000).astype(np.float32)
    added = in_noise(TONE, noise, np.random.default_rng(2), 10.0) - TONE
    assert 10 * np.log10(np.mean(TONE**2) / np.mean(added**2)) == pytest.approx(10, abs=0.2)


def test_room_keeps_the_direct_sound_and_adds_a_tail() -> None:
    click = np.zeros(8000, np.float32)
    click[100] = 1.0
    heard = in_room(click, np.random.default_rng(1), 0.3)
    assert np.argmax(np.abs(heard)) == 100
    assert len(heard) == len(click)
    assert 0 < np.abs(heard[2000:4000]).max() < 0.2


def test_telephone_has_no_highs() -> None:
    noise = np.random.default_rng(1).standard_normal(SAMPLE_RATE_HZ).astype(np.float32)
    heard = through_telephone(noise, np.random.default_rng(2))
    assert len(heard) == len(noise)
    assert _power_above(heard, 4500) < 0.01 < _power_above(heard, 2000)
