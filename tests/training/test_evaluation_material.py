"""What is said to a checkpoint during evaluation, and by whom: nothing here needs a teacher."""

from __future__ import annotations

import itertools
import string
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kimi_demo.audio import Audio
from training.evaluation import hearing, judge, texts, understanding, voices
from training.evaluation.rows import NotMeasuredError
from training.evaluation.voices import ROOMS, UNMET, Voices, recorded
from training.sounds.voices import speaker_of
from training.sounds.words import read_wordings
from training.texts.dialogue import is_right
from training.texts.sentences import is_held_out
from training.texts.spoken import as_spoken

RATE = 16_000


def tone(seconds: float = 1.0) -> Audio:
    return Audio((0.3 * np.sin(np.arange(round(seconds * RATE)) / 6)).astype(np.float32), RATE)


def test_sentences_are_held_out_and_the_first_do_not_depend_on_how_many() -> None:
    drawn = texts.mandarin(8)
    assert drawn[:3] == texts.mandarin(3)
    assert len(set(drawn)) == 8
    assert all(is_held_out(text) and is_held_out(as_spoken(text, "zh")) for text in drawn)


def test_english_sentences_are_held_out_as_written_and_as_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = map("".join, itertools.product(string.ascii_lowercase, repeat=3))
    written = [f"She saw 2 {word}." for word in words]
    monkeypatch.setattr(texts.sentences, "english_sentences", lambda: written)
    kept = texts.open_vocabulary(len(written))
    assert kept
    assert len(kept) < sum(is_held_out(text) for text in written)
    assert all(is_held_out(as_spoken(text, "en")) for text in kept)


def test_the_small_world_is_many_different_sentences() -> None:
    assert len(set(texts.small_world(60))) == 60
    assert texts.small_world(2) == ["May I use your clock?", "Where did you fix the money?"]


@pytest.mark.usefixtures("small_texts")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_dialogues_can_be_answered_and_questions_beyond_the_world_cannot(language: str) -> None:
    talks = texts.dialogues(language, 6)
    assert talks[:2] == texts.dialogues(language, 2)
    assert all(len(talk.exchanges) == 2 for talk in talks)
    assert texts.UNKNOWN not in {talk.exchanges[0].topic for talk in talks}
    for talk in texts.unanswerable(language, 3):
        [exchange] = talk.exchanges
        assert exchange.topic == texts.UNKNOWN
        assert is_right(exchange, "I don't know that." if language == "en" else "我不知道。")


def test_unmet_voices_are_men_and_women_in_turn() -> None:
    for language, names in UNMET.items():
        people = [speaker_of(name, language).split()[0] for name in names]
        assert people == ["woman", "man"] * (len(names) // 2)
    assert all(name[0] not in "ab" for name in UNMET["en"])  # the shards' English voices
    assert all(name.split("*")[-1][0] != "z" for name in UNMET["zh"])  # and their Mandarin ones


def test_what_was_spoken_once_lies_in_the_cache_with_its_text(tmp_path: Path) -> None:
    spoken: list[tuple[str, str]] = []

    def speak(phones: str, voice: str) -> tuple[np.ndarray, list[int]]:
        spoken.append((phones, voice))
        return np.full(2_400, 3_000, np.int16), []

    first = Voices(tmp_path)
    first.__dict__["_kokoro"] = SimpleNamespace(phones=lambda text, _: text.lower(), speak=speak)
    sound = first.unmet("Hello.", "en", 13)
    assert spoken == [("hello.", UNMET["en"][1])]
    again = Voices(tmp_path).unmet("Hello.", "en", 13)
    assert np.array_equal(sound.waveform, again.waveform)
    [(path, text)] = hearing.read_recordings(tmp_path)
    assert (path.suffix, text) == (".wav", "Hello.")
    with pytest.raises(NotMeasuredError, match="--teachers"):
        Voices(tmp_path).unmet("Hello.", "en", 0)  # another voice


def test_without_flite_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices.shutil, "which", lambda _: None)
    with pytest.raises(NotMeasuredError, match="flite"):
        Voices().flite("Hello.")


def test_a_recording_has_the_asked_noise_and_repeats() -> None:
    clean = tone()
    noisy = recorded(clean, "noise", "a")
    ratio = np.mean(clean.waveform**2) / np.mean((noisy.waveform - clean.waveform) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(15.0, abs=0.1)
    for room in ROOMS:
        first, again = recorded(clean, room, "a"), recorded(clean, room, "a")
        assert np.array_equal(first.waveform, again.waveform)
        assert not np.array_equal(first.waveform, clean.waveform)
        assert not np.array_equal(first.waveform, recorded(clean, room, "b").waveform)


def test_recordings_are_sounds_with_a_text(tmp_path: Path) -> None:
    for name in ("b.wav", "b.txt", "a.MP3", "a.txt", "c.wav", "notes.txt"):
        (tmp_path / name).write_text(" said \n")
    found = [(path.name, text) for path, text in hearing.read_recordings(tmp_path)]
    assert found == [("a.MP3", "said"), ("b.wav", "said")]


def test_sounds_are_known_by_their_own_name_or_their_folders(tmp_path: Path) -> None:
    names = ("dog.ogg", "dog_desc.ogg", "rain/01.wav", "clock_2.flac", "x/unknown.wav", "cat.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {path.name: event for path, event in understanding.labelled_files(tmp_path)}
    assert found == {"dog.ogg": "dog", "01.wav": "rain", "clock_2.flac": "clock tick"}


def test_a_caption_names_what_sounds() -> None:
    said = "A dog barks twice, then a woman speaks English."
    assert understanding.events_in(said) == {"dog", "woman speaking English"}
    assert understanding.events_in("In a kitchen, water runs.") == {"running water"}
    assert understanding.events_in("a lovely day") == set()


def test_the_kind_of_every_held_out_question_is_known() -> None:
    for kind, languages in read_wordings().items():
        for wordings in languages.values():
            asked = [wording.format("a dog") for wording in wordings[-2:]]
            assert [understanding.kind_of(question) for question in asked] == [kind, kind]


def test_the_judge_decides_without_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    class Whisper:
        def __init__(self, name: str, device: str, compute_type: str, cpu_threads: int) -> None:
            asked.update(name=name, device=device, compute_type=compute_type)

        def transcribe(self, waveform: np.ndarray, **options: object):
            asked.update(options, samples=len(waveform))
            return [SimpleNamespace(text=" Good"), SimpleNamespace(text=" morning.")], None

    monkeypatch.setattr(judge, "WhisperModel", Whisper)
    assert judge.Judge("base")(Audio(np.zeros(24_000, np.float32), 24_000), "en") == "Good morning."
    assert asked == {
        "name": "base",
        "device": "cpu",
        "compute_type": "int8",
        "samples": 16_000,
        "language": "en",
        "beam_size": 5,
        "temperature": 0.0,
        "condition_on_previous_text": False,
    }


def test_the_base_judge_may_lie_among_the_teachers(tmp_path: Path) -> None:
    assert judge.chosen("base", tmp_path).name == "base"
    (tmp_path / "whisper-base").mkdir()
    assert judge.chosen("base", tmp_path).name == str(tmp_path / "whisper-base")
    assert judge.chosen("small", tmp_path).name == "small"
