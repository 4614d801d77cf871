"""The speech tokenizer: its codebook, its batches, losses that fall."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from training import ears, hearing, sizes
from training import speech_tokenizer as tokens
from training.cache import Cache
from training.letters import letter_ids, read_letters
from training.speech_tokenizer import (
    DEAD_COUNT,
    Batch,
    Codebook,
    TokenizerTraining,
    batches,
    evaluate,
    feature_scale,
    kind_of,
    losses_of,
    split,
    start_codebook,
    trained_speech_tokenizer,
)

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture(scope="module")
def heard(cache: Cache, whisper: Path) -> Cache:
    """The cache with what stand-in ears heard, clean and alone."""
    hearing.write_pass(cache, hearing.Ears(str(whisper), None), 0)
    return Cache(cache.root)


# ---- codebook -----------------------------------------------------------------------------------


def nearest(codebook: Codebook, states: torch.Tensor) -> torch.Tensor:
    return torch.cdist(states, codebook.embedding.weight).argmin(1)


@pytest.fixture
def clusters() -> torch.Tensor:
    """(300, 2): three heaps, far apart."""
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    return centres.repeat(100, 1) + torch.randn(300, 2) * 0.1


def test_a_codebook_starts_on_the_heaps_of_the_states(clusters: torch.Tensor) -> None:
    torch.manual_seed(1)
    codebook = Codebook(torch.nn.Embedding(8, 2))
    assert not codebook.active
    codebook.start(clusters, lambda states: nearest(codebook, states))
    assert codebook.active
    left = torch.cdist(clusters, codebook.embedding.weight).min(1).values
    assert left.max() < 1.0
    assert torch.equal(codebook.total, codebook.embedding.weight)


def test_codes_move_towards_the_states_that_chose_them() -> None:
    codebook = Codebook(torch.nn.Embedding(2, 2))
    with torch.no_grad():
        codebook.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    codebook.total.copy_(codebook.embedding.weight)
    for _ in range(400):
        codebook.update(torch.tensor([[1.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 0]))
        if codebook.count[1] < 2 * DEAD_COUNT:
            break
    torch.testing.assert_close(
        codebook.embedding.weight[0], torch.tensor([2.0, 1.0]), atol=0.2, rtol=0
    )
    assert not codebook.embedding.weight.requires_grad


def test_a_code_that_nobody_chooses_starts_anew_on_a_state() -> None:
    codebook = Codebook(torch.nn.Embedding(2, 2))
    states = torch.tensor([[5.0, 5.0]])
    codebook.count.copy_(torch.tensor([1.0, DEAD_COUNT]))
    codebook.update(states, torch.tensor([0]))
    torch.testing.assert_close(codebook.embedding.weight[1], states[0])
    assert codebook.count[1] == 1.0


# ---- material -----------------------------------------------------------------------------------


def test_a_batch_is_padded_and_says_where(heard: Cache) -> None:
    entries = [heard.entries[0], next(e for e in heard.entries if kind_of(e) == "zh")]
    batch = Batch(heard, entries, feature_scale(heard))
    lengths = [entry.length for entry in entries]
    assert batch.valid.sum(1).tolist() == lengths
    assert batch.mel.shape == (2, ears.MEL_BINS, 8 * max(lengths))
    assert batch.target.shape == (2, 4 * max(lengths), sizes.MEL_BINS)
    assert (batch.phones[~batch.frames] == -100).all()
    own = batch.own_voice.any(1).tolist()
    assert own == [kind_of(entry) != "hear" for entry in entries]
    assert read_letters(batch.letters[0].tolist(), collapse=False) == "the cat sleeps on the mat"
    assert len(batch.letters[1]) == 0  # hanzi are not spelled
    scaled = batch.features[batch.frames]
    assert scaled.mean().abs() < 0.5
    assert 0.5 < scaled.std() < 2


def test_kinds_of_voices(heard: Cache) -> None:
    kinds = {entry.utterance.voice: kind_of(entry) for entry in heard.entries}
    assert kinds["af_heart"] == "en"
    assert kinds["zf_xiaoxiao"] == "zh"
    assert kinds["am_puck"] == kinds["zm_yunxi"] == "hear"


def test_no_text_that_is_evaluated_is_learned(heard: Cache) -> None:
    learned, held = split(heard, every=5)
    assert held == heard.entries[::5]
    texts = {entry.utterance.text for entry in held}
    assert learned
    assert not any(entry.utterance.text in texts for entry in learned)


def test_batches_are_of_like_length_and_within_their_budget(heard: Cache) -> None:
    drawn = list(islice(batches(heard.entries, random.Random(0), 100), 40))
    seen = {entry.start for group in drawn for entry in group}
    assert seen == {entry.start for entry in heard.entries}
    for group in drawn:
        assert len(group) == 1 or max(e.length for e in group) * len(group) <= 100


# ---- learning -----------------------------------------------------------------------------------


def test_whispers_layers_are_where_learning_starts(whisper: Path) -> None:
    module = TokenizerTraining()
    module.start_from_whisper(whisper)
    encoder = ears.load_encoder(whisper)
    for name in ("conv1.weight", "layers.1.fc2.bias", "layers.0.self_attn.q_proj.weight"):
        assert torch.equal(module.encoder.state_dict()[name], encoder.state_dict()[name])
    positions = module.encoder.embed_positions.weight
    assert torch.equal(positions, encoder.embed_positions.weight)
    assert not positions.requires_grad


def test_losses_fall_without_codes_and_through_them(heard: Cache) -> None:
    torch.manual_seed(0)
    module, scale = TokenizerTraining(), feature_scale(heard)
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=3e-3)
    drawn = batches(heard.entries, random.Random(0), 300)
    curves = []
    for _ in range(2):
        losses = []
        for _ in range(25):
            values = losses_of(module, Batch(heard, next(drawn), scale))
            optimizer.zero_grad()
            values["loss"].backward()
            optimizer.step()
            losses.append(float(values["loss"].detach()))
        curves.append(losses)
        if not module.codebook.active:
            assert values["commitment"] == 0
            start_codebook(module, drawn, heard, scale)
    assert np.isfinite(curves).all()
    assert np.mean(curves[0][-5:]) < 0.8 * np.mean(curves[0][:5])
    assert np.mean(curves[1][-5:]) < np.mean(curves[1][:5])
    assert module.training
    assert values["commitment"] > 0


def test_codes_hide_nothing_from_the_gradient_of_the_encoder(heard: Cache) -> None:
    torch.manual_seed(0)
    module, scale = TokenizerTraining(), feature_scale(heard)
    start_codebook(module, batches(heard.entries, random.Random(0), 150), heard, scale)
    before = module.codebook.embedding.weight.clone()
    losses_of(module, Batch(heard, heard.entries[:4], scale))["loss"].backward()
    assert module.encoder.conv1.weight.grad.abs().sum() > 0
    assert module.codebook.embedding.weight.grad is None
    assert not torch.equal(module.codebook.embedding.weight, before)  # by averages alone
    module.eval()
    before = module.codebook.embedding.weight.clone()
    losses_of(module, Batch(heard, heard.entries[:4], scale))
    assert torch.equal(module.codebook.embedding.weight, before)


def test_padding_changes_no_code(heard: Cache) -> None:
    torch.manual_seed(0)
    module, scale = TokenizerTraining().eval(), feature_scale(heard)
    start_codebook(module, batches(heard.entries, random.Random(0), 150), heard, scale)
    module.eval()
    short, long = sorted(heard.entries[:4], key=lambda e: e.length)[::3]
    alone, both = Batch(heard, [short], scale), Batch(heard, [short, long], scale)
    with torch.no_grad():
        _, _, ids = module(alone.mel, alone.valid)
        _, _, beside = module(both.mel, both.valid)
    assert torch.equal(ids[0], beside[0, : short.length])


def test_an_evaluation_reports_the_kinds_that_there_are(heard: Cache) -> None:
    module, scale = TokenizerTraining().eval(), feature_scale(heard)
    everything = evaluate(module, heard, heard.entries, scale)
    for kind in ("en", "zh", "hear"):
        assert 0 <= everything[f"{kind}_phones"] <= 1
        assert everything[f"{kind}_mel"] > 0
    assert everything["en_cer"] > 0.3  # nothing is learned yet
    assert "zh_cer" not in everything
    english = [e for e in heard.entries if kind_of(e) == "en"]
    assert not any(
        name.startswith(("zh", "hear")) for name in evaluate(module, heard, english, scale)
    )


def test_a_run_leaves_an_encoder_without_its_readout(tmp_path: Path) -> None:
    module = TokenizerTraining()
    torch.save({"ema": module.state_dict()}, tmp_path / "checkpoint.pt")
    encoder = trained_speech_tokenizer(tmp_path)
    assert not encoder.training
    assert torch.equal(encoder.codebook.weight, module.encoder.codebook.weight)


# ---- letters ------------------------------------------------------------------------------------


def test_letters_survive_their_ids_and_repetitions_are_heard_once() -> None:
    ids = letter_ids("It's 8, Tom!")
    assert read_letters(ids, collapse=False) == "it's  tom"
    assert read_letters([5, 5, 0, 5, 0, 0, 2, 2]) == "dda"
    assert tokens.letter_ids("今天") == []
