"""Training of flow matching asks for what inference does, and learns."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kimi_demo.model.detokenizer.cache import FlowCache
from kimi_demo.model.detokenizer.config import FlowConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.solver import CLEAN_TIMESTEP
from training.cache import MEL24_PER_POSITION, Cache, Entry
from training.crops import CropSampler, block_mask, draw_blocks, mel_statistics
from training.flow import FlowLoss, FlowRecipe, initialize
from training.shards import Utterance

CONFIG = FlowConfig(mel_bins=8, vocabulary_size=12, hidden_size=16, depth=2, num_heads=2)
LENGTHS = (3, 9, 30, 14)
RECIPE = FlowRecipe(crop=10, tokens_per_batch=24, shortest_block=2, longest_block=5)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A corpus in which the token fixes the mel."""
    rng = np.random.default_rng(0)
    codes = rng.integers(CONFIG.vocabulary_size, size=sum(LENGTHS)).astype(np.int16)
    sound = rng.normal(-5.0, 2.0, size=(CONFIG.vocabulary_size, CONFIG.mel_bins))
    np.save(tmp_path / "codes-0.npy", codes)
    np.save(tmp_path / "mel24.npy", sound[codes].repeat(MEL24_PER_POSITION, 0).astype(np.float16))
    starts = np.cumsum((0, *LENGTHS[:-1])).tolist()
    entries = zip(starts, LENGTHS, strict=True)
    said = Utterance("", "en", "v", "", (), 0, 0)
    lines = [json.dumps(asdict(Entry(said, start, length))) for start, length in entries]
    (tmp_path / "index.jsonl").write_text("\n".join(lines))
    return Cache(tmp_path)


def test_one_masked_pass_is_what_inference_computes() -> None:
    """[clean | noisy] under the mask == noisy chunks after a cache of clean ones."""
    torch.manual_seed(0)
    flow = FlowTransformer(CONFIG).eval()
    frames = [8, 12, 4]  # of three blocks
    total, past = sum(frames), sum(frames[:-1])
    blocks = torch.arange(3).repeat_interleave(torch.tensor(frames))
    clean, noisy = torch.randn(2, 1, total, CONFIG.mel_bins)
    tokens = torch.randint(CONFIG.vocabulary_size, (1, total // 4))
    positions = torch.arange(total)[None]
    times = torch.tensor([CLEAN_TIMESTEP] * (past // 4) + [400] * (total // 4))[None]
    with torch.inference_mode():
        masked = flow(
            torch.cat([clean[:, :past], noisy], 1),
            torch.cat([tokens[:, : past // 4], tokens], 1),
            times,
            torch.cat([positions[:, :past], positions], 1),
            mask=block_mask(blocks[:past], blocks, copies=1),
        )[:, past:]
        memory, begin = FlowCache(CONFIG, slots=1, capacity=total, chunk_frames=12), 0
        for count in frames:
            part = slice(begin, begin + count)
            where = (tokens[:, begin // 4 : (begin + count) // 4], positions[:, part], memory)
            expected = flow(noisy[:, part], where[0], torch.tensor([[400]]), *where[1:])
            torch.testing.assert_close(masked[:, part], expected, atol=1e-5, rtol=0)
            flow(clean[:, part], where[0], torch.tensor([[CLEAN_TIMESTEP]]), *where[1:])
            memory.commit([count], count)
            begin += count


def test_block_mask() -> None:
    mask = block_mask(torch.tensor([0]), torch.tensor([0, 1]), copies=2)
    assert mask.int().tolist() == [
        [1, 0, 0, 0, 0],  # clean 0 sees itself
        [0, 1, 0, 0, 0],  # first noisy copy, block 0: no past
        [1, 0, 1, 0, 0],  # block 1 sees clean block 0
        [0, 0, 0, 1, 0],  # the second copy likewise, and not the first
        [1, 0, 0, 0, 1],
    ]


def test_blocks_have_allowed_lengths() -> None:
    for _ in range(20):
        lengths = torch.bincount(draw_blocks(40, 3, 7))
        assert lengths.sum() == 40
        assert (lengths[:-1] >= 3).all()
        assert (lengths <= 7).all()


def test_crops_stay_within_an_utterance_and_fit_their_mel(cache: Cache) -> None:
    torch.manual_seed(0)
    sampler, seen = CropSampler(cache, cache.entries, crop=10, tokens_per_batch=24), set()
    codes, mels = cache.array("codes-0"), cache.array("mel24")
    sounds = dict(zip(codes.tolist(), mels[::MEL24_PER_POSITION], strict=True))
    for _ in range(200):
        tokens, mel = sampler.draw()
        seen.add(tokens.shape[1])
        assert mel.shape == (len(tokens), MEL24_PER_POSITION * tokens.shape[1], CONFIG.mel_bins)
        expected = np.stack([sounds[int(code)] for code in tokens.flatten()])
        np.testing.assert_array_equal(mel[:, ::MEL24_PER_POSITION].flatten(0, 1), expected)
    assert seen == {3, 9, 10}


def test_crops_come_from_the_entries_that_are_given_alone(cache: Cache) -> None:
    torch.manual_seed(0)
    chosen = cache.entries[2]
    sampler = CropSampler(cache, [chosen], crop=10, tokens_per_batch=24)
    own = cache.array("codes-0")[chosen.rows()].tolist()
    for _ in range(20):
        for row in sampler.draw()[0].tolist():
            assert any(own[i : i + 10] == row for i in range(len(own) - 9))


def test_loss_falls(cache: Cache) -> None:
    torch.manual_seed(0)
    mean, std = mel_statistics(cache, cache.entries)
    flow = FlowTransformer(replace(CONFIG, mel_mean=mean, mel_std=std))
    initialize(flow, codebook=torch.randn(CONFIG.vocabulary_size, 6))
    sampler = CropSampler(cache, cache.entries, RECIPE.crop, RECIPE.tokens_per_batch)
    loss = FlowLoss(flow, sampler, RECIPE)
    optimizer = torch.optim.AdamW(flow.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        value = loss()["loss"]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[0] == pytest.approx(2.0, abs=0.4)  # noise and data, both of variance 1
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])
