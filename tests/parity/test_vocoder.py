"""The vocoder and its mel spectrogram against the reference's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.mel import log_mel

WAVEFORM_TOLERANCE = 1e-5
MEL_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def config(parity_dir: Path) -> VocoderConfig:
    return VocoderConfig.from_json(parity_dir / "vocoder" / "config.json")


@pytest.fixture(scope="module")
def published(parity_dir: Path) -> dict[str, Tensor]:
    """The checkpoint's tensors by published name; those in 16 bits were used in float32."""
    tensors = load_file(parity_dir / "vocoder" / "model.safetensors")
    return {name.removeprefix("generator."): t.float() for name, t in tensors.items()}


@pytest.fixture(scope="module")
def golden(parity_dir: Path) -> dict[str, Tensor]:
    return load_file(parity_dir / "vocoder" / "reference.safetensors")


@pytest.fixture(scope="module", params=["folded", "weight norm"])
def vocoder(
    request: pytest.FixtureRequest, config: VocoderConfig, published: dict[str, Tensor]
) -> Vocoder:
    loaded = Vocoder(config, weight_norm=request.param == "weight norm")
    loaded.load_published(published)
    return loaded.eval()


def difference(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


def names_of(golden: dict[str, Tensor], prefix: str) -> list[str]:
    """What follows `prefix` in the golden names: at least one, or the test would prove nothing."""
    found = [name.removeprefix(prefix) for name in golden if name.startswith(prefix)]
    assert found
    return found


def test_every_golden_array_is_compared(golden: dict[str, Tensor]) -> None:
    families = ("mel_", "wav_", "extract_wav_int16_", "extract_mel_", "activation_post.")
    assert [name for name in golden if not name.startswith(families)] == []


def test_waveforms(vocoder: Vocoder, golden: dict[str, Tensor]) -> None:
    for frames in names_of(golden, "mel_"):
        with torch.inference_mode():
            waveform = vocoder(golden[f"mel_{frames}"].T[None])[0]
        assert difference(waveform, golden[f"wav_{frames}"]) < WAVEFORM_TOLERANCE, frames


def test_the_recorded_gradient_path_computes_the_same(
    vocoder: Vocoder, golden: dict[str, Tensor]
) -> None:
    frames = names_of(golden, "mel_")[0]
    waveform = vocoder(golden[f"mel_{frames}"].T[None])[0].detach()
    assert difference(waveform, golden[f"wav_{frames}"]) < WAVEFORM_TOLERANCE


def test_anti_aliased_activation(vocoder: Vocoder, golden: dict[str, Tensor]) -> None:
    with torch.inference_mode():
        activated = vocoder.activation_post(golden["activation_post.in"][None])[0]
    assert difference(activated, golden["activation_post.out"]) < WAVEFORM_TOLERANCE


def test_stored_filters_equal_the_computed_ones(
    config: VocoderConfig, published: dict[str, Tensor]
) -> None:
    filters = {n: t for n, t in Vocoder(config).published_tensors().items() if "filter" in n}
    assert filters.keys() == {name for name in published if "filter" in name}
    assert all(difference(t, published[name]) < 1e-6 for name, t in filters.items())


def test_mel_extraction(config: VocoderConfig, golden: dict[str, Tensor]) -> None:
    for samples in names_of(golden, "extract_wav_int16_"):
        waveform = golden[f"extract_wav_int16_{samples}"].float() / 32768
        mel = log_mel(waveform, config)
        assert mel.shape[-1] == len(waveform) // config.hop_size
        assert difference(mel.T, golden[f"extract_mel_{samples}"]) < MEL_TOLERANCE, samples


def test_checkpoint_must_fit_exactly(config: VocoderConfig, published: dict[str, Tensor]) -> None:
    vocoder = Vocoder(config)
    lacking = {name: t for name, t in published.items() if name != "conv_pre.bias"}
    with pytest.raises(CheckpointError, match=r"conv_pre\.bias"):
        vocoder.load_published(lacking)
    with pytest.raises(CheckpointError, match=r"a\.stranger"):
        vocoder.load_published({**published, "a.stranger": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"ups\.0\.0\.bias has shape"):
        vocoder.load_published({**published, "ups.0.0.bias": torch.zeros(1)})
    halved = {name: t for name, t in published.items() if name != "conv_post.weight_g"}
    with pytest.raises(CheckpointError, match=r"conv_post\.weight"):
        vocoder.load_published(halved)
