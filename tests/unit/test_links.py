"""Copies of a sound through the vocoder and through codes, with tiny random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.checkpoint.loading import load_speech_tokenizer
from kimi_demo.model.detokenizer.loading import load_detokenizer
from training.links import through_codes, through_vocoder

GOLDEN = Path(__file__).parents[1] / "parity" / "data"


@pytest.fixture(scope="module")
def detokenizer():
    folders = GOLDEN / "audio_detokenizer", GOLDEN / "vocoder"
    return load_detokenizer(*folders, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def tokenizer():
    return load_speech_tokenizer(GOLDEN / "semantic_tokenizer", torch.device("cpu"))


@pytest.fixture
def sound():
    noise = np.random.default_rng(0).normal(0, 0.1, 4_800)
    return Audio(noise.astype(np.float32), 16_000)


def test_a_copy_by_the_vocoder_lasts_as_long_as_its_frames(detokenizer, sound):
    copy = through_vocoder(sound, detokenizer.vocoder)
    hop = detokenizer.vocoder.config.hop_size
    assert copy.sample_rate == detokenizer.sample_rate_hz
    assert len(copy.waveform) == len(sound.resampled(copy.sample_rate).waveform) // hop * hop
    assert np.isfinite(copy.waveform).all()


def test_a_copy_through_codes_lasts_as_long_as_its_codes(tokenizer, detokenizer, sound):
    copy = through_codes(sound, tokenizer, detokenizer, seed=3)
    codes = tokenizer.encode(sound.waveform)
    assert len(copy.waveform) == len(codes) * detokenizer.samples_per_token
    other = through_codes(sound, tokenizer, detokenizer, seed=4)
    assert not np.array_equal(copy.waveform, other.waveform)
