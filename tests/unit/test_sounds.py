"""The sounds that the embedded model learns to understand: levels, labels, questions."""

import random
from functools import cache

import numpy as np
import pytest

from training import sounds
from training.listening import NUMBERS, QUESTIONS, caption_of
from training.sound_sources import SILENCE, SOUND_CLASSES, draw_sound
from training.speech_sounds import SPEECH_CLASSES, draw_speech
from training.synthesizers import SynthesizerUnavailableError

RATE = 16_000


@cache
def _drawn(kind: str, count: int, held_out: bool = False) -> tuple[sounds.Item, ...]:
    rng = random.Random(5)
    try:
        return tuple(sounds.draw_item(rng, kind, held_out) for _ in range(count))
    except SynthesizerUnavailableError as error:
        pytest.skip(str(error))


def _answers(item: sounds.Item, task: str) -> list[str]:
    return [answer for name, _, answer in item.tasks if name == task]


@pytest.mark.parametrize("name", SOUND_CLASSES)
def test_same_generator_gives_the_same_sound_and_another_one_another(name: str) -> None:
    first, again, other = (
        draw_sound(np.random.default_rng(seed), name, 2.0).waveform for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or np.abs(first - other).max() > 1e-4


@pytest.mark.parametrize("kind", sounds.KINDS)
def test_same_generator_gives_the_same_labels_and_nearly_the_same_times(kind: str) -> None:
    """espeak-ng's own noise lengthens or shortens a sentence by some milliseconds."""
    rng = random.Random(5)
    for one in _drawn(kind, 40)[:5]:
        two = sounds.draw_item(rng, kind)
        assert (one.emotion, one.tasks) == (two.emotion, two.tasks)
        assert [name for name, _, _ in one.events] == [name for name, _, _ in two.events]
        first, second = (np.array([event[1:] for event in item.events]) for item in (one, two))
        assert np.abs(first - second).max() <= (0 if kind == "sound" else 40)
        if kind == "sound":
            np.testing.assert_array_equal(one.waveform, two.waveform)


@pytest.mark.parametrize("kind", sounds.KINDS)
def test_lengths_levels_and_events_lie_in_their_bounds(kind: str) -> None:
    for item in _drawn(kind, 40):
        assert item.waveform.dtype == np.int16
        milliseconds = len(item.waveform) * 1000 / RATE
        assert 1000 <= milliseconds <= 6000
        for name, start_ms, end_ms in item.events:
            assert name in sounds.EVENT_CLASSES
            assert 0 <= start_ms < end_ms <= milliseconds + 1
        if item.events[0][0] != SILENCE:
            assert 328 < np.abs(item.waveform.astype(int)).max() < 32768  # -40 dB, full scale


def test_silence_is_about_60_db_below_full_scale() -> None:
    silent = [item for item in _drawn("sound", 200) if item.events[0][0] == SILENCE]
    assert silent
    for item in silent:
        level_db = 20 * np.log10(np.sqrt(np.mean((item.waveform / 32768) ** 2)))
        assert -62 < level_db < -58


def test_every_class_scene_and_emotion_is_drawn() -> None:
    events = {
        name for kind in ("sound", "speech") for i in _drawn(kind, 200) for name, *_ in i.events
    }
    assert events == set(sounds.EVENT_CLASSES)
    assert {scene for i in _drawn("scene", 60) for scene in _answers(i, "scene")} == set(
        sounds.SCENES
    )
    assert {item.emotion for item in _drawn("emotion", 40)} == set(sounds.EMOTIONS)


@pytest.mark.parametrize("kind", sounds.KINDS)
def test_a_caption_names_the_classes_that_are_heard_and_no_others(kind: str) -> None:
    for item in _drawn(kind, 40):
        (caption,) = _answers(item, "caption")
        assert sounds.caption_classes(caption) == {name for name, _, _ in item.events}
        assert caption == caption.lower()
        assert caption.endswith(".")


@pytest.mark.parametrize("name", sounds.EVENT_CLASSES)
def test_caption_of_one_class_names_that_class_alone(name: str) -> None:
    assert sounds.caption_classes(caption_of("sound", [(name, 0, 1000)])) == {name}


@pytest.mark.parametrize("kind", sounds.KINDS)
def test_answers_follow_from_the_events(kind: str) -> None:
    for item in _drawn(kind, 40):
        names = [name for name, _, _ in item.events]
        answers = {question: answer for task, question, answer in item.tasks if task == "ask"}
        spoken = any(name in SPEECH_CLASSES for name in names)
        for question in QUESTIONS["speech"][0]:
            assert answers.get(question, "yes." if spoken else "no.") == (
                "yes." if spoken else "no."
            )
        for question in QUESTIONS["count"][0]:
            if question in answers:
                assert answers[question] == f"{NUMBERS[names.count('beep')]}."
        assert ("beep" in names) == any(q in answers for q in QUESTIONS["count"][0])


def test_beeps_are_counted_in_the_sound_itself() -> None:
    """The labels must be true: count the stretches above the noise in the waveform."""
    for seed in range(20):
        sound = draw_sound(np.random.default_rng(seed), "beep", 0)
        frames = sound.waveform[: len(sound.waveform) // 320 * 320].reshape(-1, 320)
        loud = np.abs(frames).max(axis=1) > 0.3
        rises = int(loud[0]) + int(np.sum(loud[1:] & ~loud[:-1]))
        assert rises == len(sound.spans)


def test_the_first_and_the_last_sound_of_a_sequence_do_not_overlap() -> None:
    for item in _drawn("sequence", 40):
        names = list(dict.fromkeys(name for name, _, _ in item.events))
        first_ends = max(end for name, _, end in item.events if name == names[0])
        second_starts = min(start for name, start, _ in item.events if name == names[1])
        assert len(names) == 2
        assert second_starts - first_ends >= 199


@pytest.mark.parametrize("kind", sounds.KINDS)
def test_held_out_wordings_are_never_used_in_training(kind: str) -> None:
    held_out = {wordings[-1] for pair in QUESTIONS.values() for wordings in pair}
    trained = {wording for pair in QUESTIONS.values() for ws in pair for wording in ws[:-1]}
    assert not held_out & trained
    asked = {q for item in _drawn(kind, 40) for task, q, _ in item.tasks if task == "ask"}
    assert asked <= trained
    evaluated = {q for item in _drawn(kind, 6, True) for t, q, _ in item.tasks if t == "ask"}
    assert evaluated <= held_out


def test_mandarin_names_cover_every_class() -> None:
    assert set(sounds.EVENTS_ZH) == set(sounds.EVENT_CLASSES)
    assert set(sounds.SCENES_ZH) == set(sounds.SCENES)
    assert set(sounds.EMOTIONS_ZH) == set(sounds.EMOTIONS)
    for names in (sounds.EVENTS_ZH, sounds.SCENES_ZH, sounds.EMOTIONS_ZH):
        assert len(set(names.values())) == len(names)


def _pitch_hz(waveform: np.ndarray) -> float:
    """Median over voiced frames of the best lag of the autocorrelation, 60 to 500 Hz."""
    found = []
    for start in range(0, len(waveform) - 800, 400):
        frame = waveform[start : start + 800]
        correlation = np.correlate(frame, frame, "full")[799:]
        lag = 32 + int(np.argmax(correlation[32:266]))
        if correlation[0] > 1 and correlation[lag] > 0.5 * correlation[0]:
            found.append(RATE / lag)
    return float(np.median(found))


def test_moods_differ_in_pitch_as_a_listener_expects() -> None:
    try:
        pitch = {
            emotion: np.median(
                [
                    _pitch_hz(
                        draw_speech(
                            np.random.default_rng(seed), "woman speaking english", 6.0, emotion
                        ).waveform
                    )
                    for seed in range(5)
                ]
            )
            for emotion in sounds.EMOTIONS
        }
    except SynthesizerUnavailableError as error:
        pytest.skip(str(error))
    assert pitch["sad"] < pitch["angry"] < pitch["neutral"] < pitch["happy"] < pitch["surprised"]


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no kind 'smell'"):
        sounds.draw_item(random.Random(1), "smell")
