"""Labelled sounds: what every one of them must be, whatever it is of."""

import random

import numpy as np
import pytest

from training.sounds import EMOTIONS, EVENTS, KINDS, SCENES, Voices, draw, held_out
from training.sounds.moods import in_mood
from training.sounds.signals import SAMPLE_RATE_HZ, pulses
from training.sounds.sources import NAMES, SILENCE, SOUNDS, draw_sound
from training.sounds.voices import SPEECH, speaker_of


def _vowel(pitch_hz: float) -> np.ndarray:
    """(T,) int16 at 24 kHz: 1.2 s of something with a pitch."""
    contour = pitch_hz * (1 + 0.1 * np.sin(np.linspace(0, 6, 28_800)))
    return (8000 * pulses(contour * SAMPLE_RATE_HZ / 24_000) / 10).astype(np.int16)


@pytest.fixture(scope="module")
def voices() -> Voices:
    pitches = {"man": 110, "woman": 210}
    return Voices(
        (name, apart, _vowel(pitches[name.split()[0]] + 20 * apart))
        for name in SPEECH
        for apart in (False, True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_sound_of_each_kind_can_be_heard_and_answered(kind: str, voices: Voices) -> None:
    rng = np.random.default_rng(3)
    for _ in range(6):
        sound = draw(rng, kind, voices)
        assert sound.waveform.dtype == np.float32
        assert SAMPLE_RATE_HZ <= len(sound.waveform) < 12 * SAMPLE_RATE_HZ
        assert np.isfinite(sound.waveform).all()
        assert np.abs(sound.waveform).max() < 1
        silent = any(task.answer == SILENCE for task in sound.tasks)
        assert silent or np.abs(sound.waveform).max() > 0.01
        for task in sound.tasks:
            options = {"event": EVENTS, "scene": SCENES, "emotion": EMOTIONS}.get(task.name)
            assert task.answer in options if options else task.answer[-1] in ".。"
            assert task.question if task.name == "ask" else True


@pytest.mark.parametrize("name", SOUNDS)
def test_single_sound_has_its_level_and_an_end(name: str) -> None:
    sound = draw_sound(np.random.default_rng(5), name, 2.0)
    peak = np.abs(sound.waveform).max()
    assert peak < 0.01 if name == SILENCE else peak == pytest.approx(1.0)
    assert 0.1 < len(sound.waveform) / SAMPLE_RATE_HZ < 8
    assert bool(sound.count) == bool(NAMES[name].counted)


def test_beeps_are_as_many_as_is_said(voices: Voices) -> None:
    for seed in range(12):
        sound = draw_sound(np.random.default_rng(seed), "beep", 9.0)
        frames = np.abs(sound.waveform[: len(sound.waveform) // 160 * 160]).reshape(-1, 160).max(1)
        loud = np.concatenate([[False], frames > 0.1])
        assert np.count_nonzero(loud[1:] & ~loud[:-1]) == sound.count


@pytest.mark.parametrize("kind", ["sound", "emotion", "scene"])
def test_same_state_gives_the_same_sound(kind: str, voices: Voices) -> None:
    first, second = (draw(random.Random(8), kind, voices) for _ in range(2))
    assert first.tasks == second.tasks
    np.testing.assert_array_equal(first.waveform, second.waveform)
    assert draw(random.Random(9), kind, voices).tasks != first.tasks


def test_nobody_speaks_without_voices() -> None:
    answers = [task.answer for sound in held_out(1, 40) for task in sound.tasks]
    assert not any("speak" in answer for answer in answers)
    with pytest.raises(ValueError, match="voices"):
        draw(random.Random(1), "emotion")
    with pytest.raises(ValueError, match="no kind 'noise'"):
        draw(random.Random(1), "noise")


def test_moods_differ_in_pitch_length_and_level(voices: Voices) -> None:
    calm = voices.draw(np.random.default_rng(0), SPEECH[0])
    spoken = {mood: in_mood(np.random.default_rng(1), calm, mood) for mood in EMOTIONS}
    peaks = {mood: np.abs(waveform).max() for mood, waveform in spoken.items()}
    assert max(peaks["sad"], peaks["neutral"]) < peaks["angry"]
    assert len(spoken["sad"]) > 1.2 * len(spoken["neutral"]) > 1.2 * len(spoken["angry"])


@pytest.mark.parametrize(
    ("voice", "language", "name"),
    [
        ("af_heart", "en", "woman speaking English"),
        ("zm_yunxi+0.5*zm_yunjian", "zh", "man speaking Mandarin"),
        ("zf_xiaoyi+0.5*zm_yunyang", "zh", ""),
    ],
)
def test_speaker_is_read_from_the_voice(voice: str, language: str, name: str) -> None:
    assert speaker_of(voice, language) == name
