"""Prompts and answers of the language model line up: delay, marks, targets a step earlier."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training import sizes
from training.alphabet import SILENT, steps_of
from training.cache import Cache
from training.examples import (
    IGNORED,
    Asked,
    Example,
    ExampleWriter,
    Sound,
    Speech,
    collate,
)

pytestmark = pytest.mark.usefixtures("tiny")
DELAY = sizes.AUDIO_DELAY
CODES = (3, 5, 7, 9)


@pytest.fixture
def speech(writer: ExampleWriter) -> Speech:
    return Speech(writer.piece_ids[:4].tolist(), CODES, recorded=True)


def sound(length: int, value: float, pieces: tuple[int, ...] = ()) -> Sound:
    features = np.full((length, 4 * 32), value, np.float16)
    return Sound(np.arange(length) % sizes.NUM_CODES, features, pieces)


def test_a_piece_stands_for_every_step_of_an_utterance(writer: ExampleWriter, cache: Cache) -> None:
    for entry in cache.entries:
        pieces = writer.pieces(entry.utterance)
        assert len(pieces) == entry.length == steps_of(entry.utterance)
        spelled = [writer.spell.pieces[i] for i in writer.spell(entry.utterance)]
        silent = [piece == writer.piece_ids[0] for piece in pieces]
        assert silent == [piece == SILENT for piece in spelled]


def test_speech_follows_its_pieces_by_the_delay(writer: ExampleWriter, speech: Speech) -> None:
    made, ids = writer.reading("Hello.", speech), writer.vocabulary
    assert made.text_answer == [*speech.pieces, ids.text_eos] + [ids.text_blank] * DELAY
    assert made.text_targets == [*speech.pieces, ids.text_eos] + [IGNORED] * DELAY
    codes = [ids.audio_id(code) for code in CODES]
    assert made.audio_answer == [ids.text_blank] * DELAY + [*codes, ids.msg_end]
    assert made.audio_targets == [IGNORED] * DELAY + [*codes, ids.msg_end]
    assert len(made.text_answer) == len(made.audio_answer)
    typed = [i for i in made.prompt.text_ids if i != ids.text_blank]
    assert writer.tokenizer.decode(typed) == "say: Hello."
    assert not any(made.prompt.heard)


def test_codes_that_nobody_recorded_are_fed_and_not_learned(
    writer: ExampleWriter, speech: Speech
) -> None:
    recorded = writer.reading("Hello.", speech)
    made_up = writer.reading("Hello.", Speech(speech.pieces, CODES, recorded=False))
    assert made_up.audio_answer == recorded.audio_answer
    assert made_up.audio_targets == [IGNORED] * (DELAY + 4) + recorded.audio_targets[-1:]
    assert made_up.text_targets == recorded.text_targets


def test_an_answer_begins_with_the_question_between_marks(
    writer: ExampleWriter, speech: Speech
) -> None:
    made, ids = writer.chat([], Asked("hi"), "Hi?", "Good day.", speech), writer.vocabulary
    begin, end = writer.echo_ids
    encode = writer.tokenizer.encode
    written = [begin, *encode("Hi?"), end, *encode("Good day.")]
    assert made.text_answer[: len(written)] == written
    assert made.text_answer[len(written) :][:4] == list(speech.pieces)
    # While words are written, the audio stream is blank, and learns to be so after its delay.
    waiting = len(written) + DELAY
    assert made.audio_answer[:waiting] == [ids.text_blank] * waiting
    assert made.audio_targets[:DELAY] == [IGNORED] * DELAY
    assert made.audio_targets[DELAY:waiting] == [ids.text_blank] * len(written)
    assert made.audio_targets[waiting:-1] == [ids.audio_id(code) for code in CODES]


def test_earlier_turns_stand_in_the_prompt_as_heard_and_as_said(
    writer: ExampleWriter, speech: Speech
) -> None:
    earlier = [(Asked("what", sound(5, 1.0)), speech, "Good."), (Asked("so"), speech, "Yes.")]
    made, ids = writer.chat(earlier, Asked("and", sound(3, 2.0)), "?", "!", speech), None
    assert sum(made.prompt.heard) == 8
    features = made.prompt.matched_features()
    assert features[:, 0].tolist() == [1.0] * 5 + [2.0] * 3
    ids = writer.vocabulary
    said = [i for i, h in zip(made.prompt.audio_ids, made.prompt.heard, strict=True) if not h]
    codes = [ids.audio_id(code) for code in CODES]
    assert [i for i in said if ids.is_audio(i)] == codes * 2
    assert made.prompt.audio_ids.count(ids.assistant_start) == 3
    assert made.heard_targets == []


def test_words_about_a_sound_are_written_in_silence(writer: ExampleWriter) -> None:
    pieces = tuple(writer.piece_ids[[0, 1, 2]].tolist())
    made, ids = writer.about(sound(3, 1.0, pieces), "which sound?", "A bell."), writer.vocabulary
    assert made.text_answer == made.text_targets
    assert writer.tokenizer.decode(made.text_answer) == "A bell."
    assert made.text_answer[-1] == ids.text_eos
    assert set(made.audio_answer) == {ids.text_blank}
    assert set(made.audio_targets) == {IGNORED}
    assert made.heard_targets == list(pieces)


# ---- batches ------------------------------------------------------------------------------------


@pytest.fixture
def examples(writer: ExampleWriter, speech: Speech) -> list[Example]:
    pieces = tuple(writer.piece_ids[[1, 2, 0]].tolist())
    return [
        writer.reading("Hello.", speech),
        writer.about(sound(3, 1.0, pieces), "which sound?", "A bell."),
        writer.about(sound(6, 2.0), "what?", "No."),
    ]


def test_targets_stand_a_step_before_what_they_ask_for(
    writer: ExampleWriter, examples: list[Example]
) -> None:
    batch = collate(examples, writer.vocabulary, "cpu")
    for row, example in enumerate(examples):
        first = len(example.prompt) - 1
        for name, answer, targets in (
            ("text", example.text_answer, example.text_targets),
            ("audio", example.audio_answer, example.audio_targets),
        ):
            fed, due = getattr(batch, f"{name}_ids")[row], getattr(batch, f"{name}_targets")[row]
            assert due[first : first + len(targets)].tolist() == targets
            assert (due[first + len(targets) :] == IGNORED).all()
            end = first + len(answer)
            assert fed[first + 1 : end].tolist() == answer[:-1]
            assert (fed[end:] == writer.vocabulary.text_blank).all()
            for place in range(first, end - 1):
                if due[place] != IGNORED:
                    assert due[place] == fed[place + 1]  # what is fed next was asked for


def test_what_is_heard_has_its_features_and_names_its_pieces(
    writer: ExampleWriter, examples: list[Example]
) -> None:
    batch = collate(examples, writer.vocabulary, "cpu")
    assert batch.heard.sum(1).tolist() == [0, 3, 6]
    assert batch.features[:, 0].tolist() == [1.0] * 3 + [2.0] * 6
    assert batch.text_targets[1][batch.heard[1]].tolist() == examples[1].heard_targets
    assert (batch.text_targets[2][batch.heard[2]] == IGNORED).all()
    assert (batch.audio_targets[batch.heard] == IGNORED).all()
    codes = batch.audio_ids[2][batch.heard[2]] - writer.text_ids
    assert codes.tolist() == list(range(6))


def test_a_batch_without_sounds_has_no_features(
    writer: ExampleWriter, examples: list[Example]
) -> None:
    batch = collate(examples[:1], writer.vocabulary, "cpu")
    assert batch.features.numel() == 0
    assert not batch.heard.any()
    assert torch.equal(
        batch.text_ids[0, : len(examples[0].prompt)], batch.text_ids[0][: len(examples[0].prompt)]
    )
