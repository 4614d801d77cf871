"""The language model's losses: what is due, what weighs more; that they fall; how it is judged."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training import language_model
from training.cache import Cache, Entry
from training.checkpoint import task_table
from training.examples import (
    IGNORED,
    Asked,
    Example,
    ExampleBatch,
    ExampleWriter,
    Sound,
    collate,
)
from training.language_model import WORD_WEIGHT, Evaluation, LanguageModelTraining
from training.lessons import Recordings
from training.speech_tokenizer import kind_of

pytestmark = pytest.mark.usefixtures("tiny", "small_texts")


@pytest.fixture
def module(writer: ExampleWriter) -> LanguageModelTraining:
    torch.manual_seed(0)
    return LanguageModelTraining(writer.tokenizer)


@pytest.fixture(scope="module")
def recordings(heard_cache: Cache, writer: ExampleWriter) -> Recordings:
    return Recordings(heard_cache, writer)


@pytest.fixture(scope="module")
def examples(writer: ExampleWriter, recordings: Recordings) -> list[Example]:
    """One of each task, all different."""
    rng = np.random.default_rng(0)
    entry = recordings.own["en"][1]
    speech = recordings.speech(entry)
    pieces = writer.piece_ids[[1, 2, 3, 0]].tolist()
    sound = Sound(np.arange(4), rng.normal(size=(4, 4 * 32)).astype(np.float16), pieces)
    return [
        writer.reading("It is cold outside.", speech),
        writer.about(sound, "transcribe:", "A dog runs."),
        writer.chat([], Asked("Who?", sound), "Who?", "It is cold outside.", speech),
    ]


@pytest.fixture
def batch(writer: ExampleWriter, examples: list[Example]) -> ExampleBatch:
    return collate(examples, writer.vocabulary, "cpu")


def test_words_weigh_more_than_pieces(module: LanguageModelTraining, writer, batch) -> None:
    text, named, audio = module(batch)
    states, audio_states = module.model(
        batch.text_ids, batch.audio_ids, batch.heard, batch.features
    )
    due = (batch.text_targets != IGNORED) & ~batch.heard
    targets = batch.text_targets[due]
    each = F.cross_entropy(module.model.lm_head(states[due]), targets, reduction="none")
    is_piece = torch.isin(targets, torch.from_numpy(writer.piece_ids))
    weights = torch.where(is_piece, 1.0, WORD_WEIGHT)
    assert 0 < is_piece.sum() < len(targets)
    torch.testing.assert_close(text, (weights * each).sum() / weights.sum())
    heard = batch.text_targets[batch.heard]
    expected = F.cross_entropy(module.model.lm_head(states[batch.heard]), heard)
    torch.testing.assert_close(named, expected)
    due = batch.audio_targets != IGNORED
    logits = module.model.mimo_output(audio_states[due])
    torch.testing.assert_close(audio, F.cross_entropy(logits, batch.audio_targets[due]))


def test_what_is_not_due_costs_nothing(module: LanguageModelTraining, batch: ExampleBatch) -> None:
    nothing = torch.full_like(batch.text_targets, IGNORED)
    silent = dataclasses.replace(batch, text_targets=nothing, audio_targets=nothing)
    assert [float(loss) for loss in module(silent)] == [0.0, 0.0, 0.0]


def test_the_first_losses_are_those_of_guessing(module, batch: ExampleBatch) -> None:
    rows = np.log(module.model.lm_head.out_features)
    for loss in module(batch):
        assert float(loss.detach()) == pytest.approx(rows, rel=0.15)


def test_losses_fall(module: LanguageModelTraining, batch: ExampleBatch) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    curve = []
    for _ in range(20):
        losses = torch.stack(module(batch))
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
        curve.append(losses.detach())
    assert torch.isfinite(torch.stack(curve)).all()
    assert (curve[-1] < 0.6 * curve[0]).all()  # each of the three


def test_heads_and_features_learn(module: LanguageModelTraining, batch: ExampleBatch) -> None:
    torch.stack(module(batch)).sum().backward()
    without = [name for name, p in module.named_parameters() if p.grad is None]
    assert without == []
    marked = [name for name, layer in module.model.named_modules() if hasattr(layer, "adamw")]
    assert marked == ["lm_head", "mimo_output"]


# ---- judging ------------------------------------------------------------------------------------


@pytest.fixture
def evaluation(writer: ExampleWriter, recordings: Recordings) -> Evaluation:
    prompts = task_table().transcription_prompts
    return Evaluation(writer, recordings, dict(prompts), count=1)


def test_an_untrained_model_reads_hears_and_answers_nothing(
    module: LanguageModelTraining, evaluation: Evaluation
) -> None:
    report = evaluation(module.eval())
    assert set(report) == {
        f"{language}_{figure}"
        for language in ("en", "zh")
        for figure in ("pieces", "audio", "asr_wer", "asr_cer", "chat")
    }
    assert report["en_audio"] > 3
    assert report["en_asr_wer"] > 0.5
    assert report["zh_chat"] == 0


def test_what_is_heard_rightly_has_no_errors(
    module: LanguageModelTraining,
    evaluation: Evaluation,
    recordings: Recordings,
    writer: ExampleWriter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that writes what is said stands in."""
    texts = iter(hear_entries(recordings, "en"))

    def steps(model, prompt, output, limit):
        for token in writer.tokenizer.encode(next(texts)):
            yield language_model.Step(token, 0, token, 0, is_text=True, is_speech=False)

    monkeypatch.setattr(evaluation, "_steps", steps)
    assert evaluation._hearing(module.model, "en") == {"en_asr_wer": 0.0, "en_asr_cer": 0.0}


def hear_entries(recordings: Recordings, language: str) -> list[str]:
    def is_judged(entry: Entry) -> bool:
        return entry.utterance.language == language and kind_of(entry) == "hear"

    return [recordings.text(e) for e in islice(filter(is_judged, recordings.entries), 1)]


def test_an_answer_is_read_between_the_echo_and_the_speech(
    module: LanguageModelTraining,
    evaluation: Evaluation,
    writer: ExampleWriter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = []
    monkeypatch.setattr(
        language_model, "is_right", lambda exchange, answer: judged.append(answer) or True
    )
    begin, end = writer.echo_ids
    encode = writer.tokenizer.encode
    written = [begin, *encode("hm?"), end, *encode("It is cold.")]
    code = writer.vocabulary.audio_id(3)

    def steps(model, prompt, output, limit):
        for token in written:
            yield language_model.Step(token, 0, token, 0, is_text=True, is_speech=False)
        piece = int(writer.piece_ids[2])
        yield language_model.Step(piece, code, piece, code, is_text=True, is_speech=True)
        raise AssertionError("speech need not be waited for")

    monkeypatch.setattr(evaluation, "_steps", steps)
    assert evaluation._answering(module.model, "en") == {"en_chat": 1.0}
    assert judged == ["It is cold."]
