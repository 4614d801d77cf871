"""Recordings for the tasks beyond plain sentences: whose voice, how much, in which folders."""

from __future__ import annotations

import random
from argparse import ArgumentParser
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from training import corpus, dialogue, record_tasks, shapes
from training.phones import PHONES
from training.synthesizers import (
    SAMPLE_RATE_HZ,
    EspeakSynthesizer,
    FliteSynthesizer,
    SynthesizerUnavailableError,
    Utterance,
)


@pytest.fixture
def _synthesizers() -> None:
    try:
        FliteSynthesizer()
        EspeakSynthesizer()
    except SynthesizerUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_are_those_of_dialogues_each_once_the_frequent_first(language: str) -> None:
    questions, answers = record_tasks.texts_of(language, 3, dialogues=80)
    rng = random.Random(f"3/{language}")
    drawn = [e for _ in range(80) for e in dialogue.draw(rng, language).exchanges]
    for texts, said in (
        (questions, [e.question for e in drawn]),
        (answers, [e.answer for e in drawn]),
    ):
        assert len(texts) == len(set(texts))
        assert set(texts) == set(said)
        counts = [said.count(text) for text in texts]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > 1


def test_answers_are_spoken_by_the_output_voices() -> None:
    assert record_tasks.OUTPUT_VOICES == shapes.OUTPUT_VOICES
    for language, speakers in record_tasks.SPEAKERS.items():
        assert set(speakers) <= set(corpus.VOICES)
        assert {corpus.language_of(voice) for voice in speakers} == {language}


@pytest.mark.usefixtures("_synthesizers")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_questions_and_answers_are_spoken_with_their_phones(language: str) -> None:
    questions, answers = record_tasks.texts_of(language, 1, dialogues=4)
    makers = ((record_tasks.questions, questions), (record_tasks.answers, answers))
    for make, texts in makers:
        spoken = list(make(language, 1, dialogues=4))
        assert [utterance.text for utterance in spoken] == texts
        for utterance in spoken:
            assert len(utterance.waveform) > SAMPLE_RATE_HZ / 3
            assert {phone.name for phone in utterance.phones} <= set(PHONES)


@pytest.mark.usefixtures("_synthesizers")
def test_degraded_speech_keeps_its_text_and_phones() -> None:
    for language in ("en", "zh"):
        for utterance in islice(record_tasks.robust(language, 1), 3):
            assert utterance.waveform.dtype == np.int16
            end_s = utterance.phones[-1].end_s
            assert end_s == pytest.approx(len(utterance.waveform) / SAMPLE_RATE_HZ)
            assert utterance.text


@pytest.mark.usefixtures("_synthesizers")
def test_labelled_sounds_have_tasks_and_no_words() -> None:
    for held_out in (False, True):
        drawn = list(islice(record_tasks.labelled(1, held_out), 12))
        assert all(item.tasks and item.events and not item.text for item in drawn)
        assert {"caption", "event", "ask"} <= {task for item in drawn for task, *_ in item.tasks}


def test_hours_are_not_exceeded() -> None:
    second = Utterance("", np.zeros(SAMPLE_RATE_HZ, np.int16), SAMPLE_RATE_HZ, ())
    taken = record_tasks.first_hours(iter([second] * 9), hours=3.5 / 3600)
    assert len(list(taken)) == 3


@pytest.mark.usefixtures("_synthesizers")
def test_folders_are_made_once_and_read_back(tmp_path: Path) -> None:
    parser = ArgumentParser()
    record_tasks.add_arguments(parser)
    wanted = ["answers-zh", "robust-en", "sounds"]
    options = ["--dialogues", "3", "--hours-robust", "0.003", "--hours-sounds", "0.006"]
    args = parser.parse_args(["--out", str(tmp_path), *options, "--only", *wanted])
    record_tasks.run(args)
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted
    written = {voice: corpus.Corpus(tmp_path, [voice]) for voice in wanted}
    said = [item.text for item in written["answers-zh"]]
    assert said == record_tasks.texts_of("zh", 1, dialogues=3)[1]
    assert 0.001 < written["robust-en"].hours() <= 0.003
    assert all(item.tasks and not item.phones for item in written["sounds"])
    before = (tmp_path / "sounds/000/audio.npy").stat().st_mtime_ns
    record_tasks.run(args)
    assert (tmp_path / "sounds/000/audio.npy").stat().st_mtime_ns == before
