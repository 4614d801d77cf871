"""The language model's lessons: batches of every task, sounds with their words, honest noise."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from tests.training import toy
from training import lessons as lessons_module
from training import sizes
from training.cache import Cache, Entry
from training.checkpoint import task_table
from training.examples import IGNORED, ExampleWriter, collate
from training.lessons import (
    TASK_WEIGHTS,
    CodeTable,
    LabelledSounds,
    Lessons,
    Recordings,
    Splicer,
)
from training.shards import Utterance
from training.texts import dialogue
from training.texts.spoken import as_spoken, spoken_words
from training.timing import read_timed

pytestmark = pytest.mark.usefixtures("tiny", "small_texts")


@pytest.fixture(scope="module")
def recordings(heard_cache: Cache, writer: ExampleWriter) -> Recordings:
    return Recordings(heard_cache, writer)


@pytest.fixture(scope="module")
def timed(small_texts: None, tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Some answers of the dialogues, and how ignorance is admitted."""
    path, rows = tmp_path_factory.mktemp("timed") / "timed.jsonl", []
    for language, voice in sizes.OUTPUT_VOICES.items():
        unknown = [b.answer for b in dialogue.talk_of(language).branches if b.topic == "unknown"]
        for text in dict.fromkeys([*unknown, *dialogue.answers(language)[::8]]):
            said = as_spoken(text.replace("{", "").replace("}", ""), language)
            rows.append(toy.row_of(said, language, voice) | {"text": text})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(read_timed(path))


@pytest.fixture(scope="module")
def labelled(
    tiny: None, prompts: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> LabelledSounds:
    folder = tmp_path_factory.mktemp("sounds")
    tasks = [
        {"name": "event", "question": "", "answer": "bell"},
        {"name": "ask", "question": "What rings?", "answer": "A bell."},
    ]
    rows = [{"start": 8 * n, "length": 8, "tasks": tasks} for n in range(3)]
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    np.save(folder / "codes-0.npy", np.arange(24, dtype=np.int16))
    np.save(folder / "heard-0.npy", np.ones((24, 4 * 32), np.float16))
    return LabelledSounds(folder, prompts)


@pytest.fixture(scope="module")
def prompts() -> dict[str, str]:
    return {**task_table().transcription_prompts, "event": "which sound?"}


def lessons_of(task: str, writer, recordings, timed, labelled, prompts, seed: int = 1) -> Lessons:
    return Lessons(writer, recordings, timed, labelled, prompts, {task: 1.0}, seed)


@pytest.fixture
def make(writer, recordings, timed, labelled, prompts):
    """Lessons of one task."""

    def made(task: str, seed: int = 1) -> Lessons:
        return lessons_of(task, writer, recordings, timed, labelled, prompts, seed)

    return made


# ---- recordings ---------------------------------------------------------------------------------


def test_a_sound_holds_the_whole_utterance_and_its_pieces_where_they_are_said(
    recordings: Recordings, writer: ExampleWriter
) -> None:
    rng = random.Random(0)
    assert recordings.passes == [0, 1]
    for number in recordings.passes:
        windows = {
            index: (window, first)
            for window in lessons_module.read_windows(recordings.cache.root, number)
            for index, first in window.entries
        }
        for index, entry in enumerate(recordings.cache.entries):
            sound, text = recordings.sound(entry, number, rng)
            assert text == recordings.text(entry)
            assert len(sound.codes) == len(sound.features) == len(sound.pieces) >= entry.length
            rows = sound.features[:, 0] * 1024  # made up so
            np.testing.assert_array_equal(rows % sizes.NUM_CODES, sound.codes)
            window, first = windows[index]
            said = window.start + first - int(rows[0])
            assert 0 <= said <= len(sound.codes) - entry.length
            assert list(sound.pieces[said : said + entry.length]) == recordings.pieces(entry)
            around = [*sound.pieces[:said], *sound.pieces[said + entry.length :]]
            assert set(around) <= {int(writer.piece_ids[0])}


def test_recordings_in_a_row_are_read_together(recordings: Recordings) -> None:
    rng = random.Random(1)
    joined = 0
    for entry in recordings.cache.entries * 3:
        sound, text = recordings.sound(entry, 1, rng, most=6)
        assert text.startswith(recordings.text(entry))
        assert len(sound.codes) >= entry.length
        silent = recordings.silent
        said = sum(piece != silent for piece in sound.pieces)
        own = sum(piece != silent for piece in recordings.pieces(entry))
        longer = len(text) > len(recordings.text(entry))
        joined += longer
        assert (said > own) == longer
    assert joined > 5


def test_what_is_said_is_the_clean_recording(recordings: Recordings) -> None:
    entry = recordings.own["zh"][2]
    speech = recordings.speech(entry)
    assert speech.recorded
    codes = np.arange(entry.start, entry.start + entry.length)
    np.testing.assert_array_equal(speech.codes, codes % sizes.NUM_CODES)
    assert len(speech.pieces) == entry.length


def test_only_the_given_entries_are_learned(heard_cache: Cache, writer: ExampleWriter) -> None:
    chosen = [e for e in heard_cache.entries if e.utterance.voice == "af_heart"][:3]
    some = Recordings(heard_cache, writer, chosen)
    assert some.own["en"] == chosen
    assert some.own["zh"] == []
    assert sum(map(len, some.by_words.values())) == 3


def test_likely_codes_are_those_that_were_said_with_a_piece(recordings: Recordings) -> None:
    table, rng = CodeTable(recordings), random.Random(0)
    heard: dict[int, set[int]] = {}
    for entries in recordings.own.values():
        for entry in entries:
            speech = recordings.speech(entry)
            for piece, code in zip(speech.pieces, speech.codes, strict=True):
                heard.setdefault(piece, set()).add(int(code))
    pieces = [piece for piece in heard for _ in range(4)]
    codes = table(pieces, rng)
    assert all(code in heard[piece] for piece, code in zip(pieces, codes, strict=True))
    assert 0 <= table([-1], rng)[0] < sizes.NUM_CODES  # never said: any code


def test_what_was_never_recorded_is_put_together_from_what_was(recordings):
    splicer, rng = Splicer(recordings), random.Random(0)
    said = {
        (number, row): piece
        for number in recordings.passes
        for pieces, first in recordings.heard_pieces(number)
        for row, piece in enumerate(pieces, first)
    }
    first, second = (recordings.pieces(entry) for entry in recordings.entries[:2])
    wanted = [*first, *second[::-1]]
    sound = splicer(wanted, rng)
    begin = next(
        n for n in range(7) if sound.pieces[n : n + len(wanted)] == wanted
    )  # behind a silence
    heard = {number: recordings.cache.array(f"codes-{number}") for number in recordings.passes}
    for code, piece in zip(sound.codes[begin:], wanted, strict=False):
        assert code in {heard[n][row] for (n, row), found in said.items() if found == piece}
    assert len(sound.codes) == len(sound.features) == len(sound.pieces)
    assert splicer([-1], rng) is None  # nobody ever said that


# ---- lessons ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_WEIGHTS)
def test_every_task_gives_batches(make, writer: ExampleWriter, task: str) -> None:
    lessons = make(task)
    for _ in range(6):
        name, batch = next(lessons)
        assert name == task
        assert len(batch.text_ids) <= lessons_module.MAX_ROWS
        assert (batch.text_targets != IGNORED).any(1).all()
        codes = (batch.audio_targets >= writer.text_ids).any(1)
        assert codes.all() if task == "reading" else True
        assert not codes.any() if task in ("timed", "transcription", "sounds") else True
        assert batch.heard.any() == (task in ("transcription", "sounds") or bool(batch.heard.any()))
        assert len(batch.features) == int(batch.heard.sum())
        assert batch.text_ids.max() < writer.text_ids <= batch.audio_ids.max()
    if task == "chat":
        assert any(next(lessons)[1].heard.any() for _ in range(5))


def test_tasks_come_as_often_as_they_weigh(
    writer, recordings, timed, labelled, prompts, monkeypatch
) -> None:
    weights = {"reading": 3.0, "sounds": 1.0, "chat": 0.0}
    lessons = Lessons(writer, recordings, timed, labelled, prompts, weights, 1)
    monkeypatch.setattr(lessons_module, "_filled", lambda examples: [next(iter(examples))])
    names = [next(lessons)[0] for _ in range(120)]
    assert 70 < names.count("reading") < 110
    assert "chat" not in names


def test_seeds_repeat_and_differ(make) -> None:
    def first(seed: int) -> torch.Tensor:
        return next(make("chat", seed))[1].text_ids

    assert torch.equal(first(1), first(1))
    assert first(1).shape != first(2).shape or not torch.equal(first(1), first(2))


def test_noise_meets_codes_that_are_said_and_none_that_are_heard(
    make, writer: ExampleWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons_module, "CODE_NOISE", 1.0)
    lessons, replaced, said = make("chat"), 0, 0
    examples = lessons._chats()
    for _ in range(6):
        clean = collate([next(examples) for _ in range(4)], writer.vocabulary, "cpu")
        fed = clean.audio_ids.clone()
        noisy = lessons._with_noise(clean).audio_ids
        is_code = fed >= writer.text_ids
        spoken = is_code & ~clean.heard
        assert torch.equal(noisy[~spoken], fed[~spoken])
        assert (noisy[spoken] >= writer.text_ids).all()
        replaced += int((noisy != fed).sum())
        said += int(spoken.sum())
    assert replaced > 0.9 * said > 100  # the others were replaced by themselves


def test_answers_that_were_timed_are_said_without_a_recording(
    make, recordings: Recordings, timed: list[Utterance]
) -> None:
    lessons = make("chat")
    known = timed[0]
    said = lessons._said(known.text, known.language)
    assert said is not None
    assert not said.recorded
    assert len(said.codes) == len(said.pieces)
    entry = recordings.own["en"][0]
    recorded = lessons._said(entry.utterance.text.upper(), "en")
    assert recorded is not None
    assert recorded.recorded
    assert lessons._said("Nobody ever read this aloud.", "en") is None


def test_questions_are_typed_as_people_type(make) -> None:
    lessons = make("chat")
    typed = {lessons._typed("Is It Cold?") for _ in range(80)}
    assert typed == {"Is It Cold?", "is it cold?", "Is It Cold", "is it cold"}


def test_questions_that_were_recorded_are_answered(make) -> None:
    lessons = make("chat")
    for language, question in toy.QUESTIONS.items():
        found = lessons._questions_heard(language)
        assert {entry.utterance.text for _, entry in found} == {question}
        assert {exchange.topic for exchange, _ in found} == {"identity"}
        answered = lessons._chat_heard(language)
        assert (answered is None) == (lessons._said(found[0][0].answer, language) is None)


def test_what_is_no_question_of_the_small_world_is_honestly_not_known(
    make, writer: ExampleWriter
) -> None:
    lessons = make("chat")
    made = [lessons._chat_unknown("en") for _ in range(30)]
    spoken = [example for example in made if example]
    assert spoken
    _, end = writer.echo_ids
    for example in spoken:
        written = writer.tokenizer.decode(example.text_answer[example.text_answer.index(end) :])
        language = "zh" if any(c >= "\u4e00" for c in written) else "en"
        assert " ".join(spoken_words(written, language)) in {
            " ".join(spoken_words(answer, language))
            for answer in lessons._unknown_answers[language]
        }


def test_a_wrong_hint_is_given_now_and_then(make) -> None:
    lessons = make("transcription")
    hints = [lessons._hint("en") for _ in range(600)]
    assert 0.55 < hints.count("") / 600 < 0.75
    assert hints.count("en") > 4 * hints.count("zh") > 0


def test_the_voices_that_speak_are_kept_apart(recordings: Recordings) -> None:
    def voices(entries: list[Entry]) -> set[str]:
        return {entry.utterance.voice for entry in entries}

    assert voices(recordings.own["en"]) == {"af_heart"}
    assert voices(recordings.own["zh"]) == {"zf_xiaoxiao"}


# ---- labelled sounds ----------------------------------------------------------------------------


def test_a_task_without_a_question_is_asked_as_the_checkpoint_asks(
    labelled: LabelledSounds,
) -> None:
    drawn = {labelled.draw(random.Random(seed))[1:] for seed in range(20)}
    assert drawn == {("which sound?", "bell."), ("What rings?", "A bell.")}
    sound, *_ = labelled.draw(random.Random(0))
    assert len(sound.codes) == len(sound.features) == 8
    assert sound.pieces == ()
