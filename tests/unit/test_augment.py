"""Degraded speech: the strengths asked for, nothing clipped, the same from the same generator."""

from __future__ import annotations

import random

import numpy as np
import pytest

from training import augment
from training.synthesizers import Phone, Utterance

RATE = augment.SAMPLE_RATE_HZ


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


@pytest.mark.parametrize("snr_db", [0.0, 12.0, 25.0])
def test_noise_has_the_asked_ratio(snr_db: float) -> None:
    clean = tone(300)
    noise = augment.with_noise(clean, np.random.default_rng(1), snr_db) - clean
    ratio_db = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
    assert ratio_db == pytest.approx(snr_db, abs=0.01)


def test_a_room_answers_after_the_sound_and_fades() -> None:
    click = np.zeros(RATE)
    click[4000] = 1.0
    heard = augment.in_room(click, np.random.default_rng(1), reverberation_s=0.3)
    assert len(heard) == len(click)
    assert np.abs(heard[:4000]).max() < 1e-9
    assert heard[4000] == pytest.approx(1.0)
    early, late = heard[4001:4800], heard[4000 + 4000 : 4000 + 4800]
    assert 0.01 < np.abs(early).max() < 0.5
    assert np.mean(late**2) < 1e-4 * np.mean(early**2)
    assert np.abs(heard[4000 + 4800 :]).max() < 1e-9


def test_a_telephone_keeps_the_low_band_alone() -> None:
    for length in (8000, 8001):
        low, high = tone(500, 1.0)[:length], tone(6000, 1.0)[:length]
        inner = slice(500, length - 500)
        kept, lost = augment.through_telephone(low), augment.through_telephone(high)
        assert len(kept) == len(lost) == length
        np.testing.assert_allclose(kept[inner], low[inner], atol=0.02)
        assert np.abs(lost[inner]).max() < 0.01


def test_degraded_speech_repeats_with_its_generator_and_never_clips() -> None:
    samples = (tone(300) * 80_000).clip(-32768, 32767).astype(np.int16)
    first = [augment.degraded(samples, random.Random(seed)) for seed in range(30)]
    again = [augment.degraded(samples, random.Random(seed)) for seed in range(30)]
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.int16
        assert len(one) == len(samples)
        assert np.abs(one.astype(int)).max() <= 32_440  # 0.99 of full scale
    assert len({one.tobytes() for one in first}) == 30


def test_silence_stays_finite() -> None:
    for seed in range(10):
        heard = augment.degraded(np.zeros(4000, np.int16), random.Random(seed))
        assert np.abs(heard.astype(int)).max() <= 1


def test_silence_around_speech_moves_its_phones() -> None:
    spoken = Utterance("hi", np.full(RATE, 9, np.int16), RATE, (Phone("hh", 0.0, 1.0),))
    padded = augment.within_silence(spoken, random.Random(1))
    pause, phone, rest = padded.phones
    assert (pause.name, phone.name, rest.name) == ("pau", "hh", "pau")
    assert pause.start_s == 0
    assert pause.end_s == phone.start_s
    assert phone.end_s - phone.start_s == pytest.approx(1.0)
    first = int(phone.start_s * RATE)
    assert not padded.waveform[:first].any()
    assert padded.waveform[first : first + RATE].all()
    assert rest.end_s == pytest.approx(len(padded.waveform) / RATE, abs=1e-3)
