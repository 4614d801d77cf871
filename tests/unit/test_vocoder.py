"""The vocoder's own promises, apart from the reference: gradients, lengths, configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from kimi_demo.errors import AudioError, CheckpointError
from kimi_demo.model.detokenizer.activations import (
    AntiAliasedActivation,
    Snake,
    downsample,
    kaiser_sinc,
    upsample,
)
from kimi_demo.model.detokenizer.vocoder import Vocoder, fold_weight_norm, split_weight_norm
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.mel import log_mel

SMALL = VocoderConfig(
    upsample_rates=(5, 2, 2, 2, 2, 3, 2),
    upsample_kernel_sizes=(9, 4, 4, 4, 4, 5, 4),
    upsample_initial_channel=128,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 3), (1, 3)),
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("time", [1, 2, 15, 16, 17, 100])
def test_filters_equal_the_textbook_form(time: int) -> None:
    """Zeros between samples and one long filter; the low-pass and every second sample."""
    x = torch.randn(2, 3, time)
    taps = kaiser_sinc()
    doubled = doubled_by_textbook(x, taps)
    torch.testing.assert_close(upsample(x, taps), doubled, atol=1e-6, rtol=0)
    halved = halved_by_textbook(doubled, taps)
    torch.testing.assert_close(downsample(doubled, taps), halved, atol=1e-6, rtol=0)


def doubled_by_textbook(x: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    kernel = taps.expand(x.shape[1], 1, 12)
    padded = F.pad(x, (5, 5), mode="replicate")
    return 2 * F.conv_transpose1d(padded, kernel, stride=2, groups=len(kernel))[..., 15:-15]


def halved_by_textbook(x: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    kernel = taps.expand(x.shape[1], 1, 12)
    return F.conv1d(F.pad(x, (5, 6), mode="replicate"), kernel, stride=2, groups=len(kernel))


@pytest.mark.parametrize("log_scale", [True, False])
@pytest.mark.parametrize("separate_beta", [True, False])
def test_activation_has_exact_gradients(log_scale: bool, separate_beta: bool) -> None:
    snake = Snake(3, log_scale=log_scale, separate_beta=separate_beta)
    activation = AntiAliasedActivation(snake).double()
    for parameter in activation.parameters():
        torch.nn.init.uniform_(parameter, 0.3, 1.0)

    def evaluate(x: torch.Tensor, *_parameters: torch.Tensor) -> torch.Tensor:
        return activation(x)

    x = torch.randn(2, 3, 21, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(evaluate, (x, *activation.parameters()))


@pytest.mark.parametrize("resblock", ["1", "2"])
@pytest.mark.parametrize("tanh", [True, False])
def test_waveform_length_and_range(resblock: str, tanh: bool) -> None:
    vocoder = Vocoder(replace(SMALL, resblock=resblock, use_tanh_at_final=tanh))
    with torch.inference_mode():
        waveform = vocoder(torch.randn(2, 80, 3) * 100)
    assert waveform.shape == (2, 3 * 480)
    assert waveform.abs().max() <= 1.0


def test_widths_that_do_not_halve_evenly_are_rounded_down() -> None:
    """75, 37, 18, 9 channels; compared with the published forward pass, written out by names."""
    config = VocoderConfig(
        upsample_rates=(4, 3, 2),
        upsample_kernel_sizes=(8, 5, 4),
        upsample_initial_channel=75,
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 3), (1, 3)),
        hop_size=24,
    )
    vocoder, mel = Vocoder(config, weight_norm=True), torch.randn(1, 80, 6)
    for parameter in vocoder.parameters():  # of a scale that tells every layer from none
        torch.nn.init.normal_(parameter, std=0.5)
    tensors = fold_weight_norm(vocoder.published_tensors())
    widths = [tensors[f"ups.{stage}.0.weight"].shape[:2] for stage in range(3)]
    assert widths == [(75, 37), (37, 18), (18, 9)]
    with torch.inference_mode():
        expected = published_forward(config, tensors, mel)
        assert expected.std() > 0.01
        torch.testing.assert_close(vocoder(mel), expected, atol=1e-5, rtol=0)


def published_forward(
    config: VocoderConfig, tensors: dict[str, torch.Tensor], mel: torch.Tensor
) -> torch.Tensor:
    """BigVGAN's layout "1" with snakebeta in log scale. Source: arXiv 2206.04658, its code."""

    def conv(x: torch.Tensor, name: str, dilation: int = 1) -> torch.Tensor:
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        padding = dilation * (weight.shape[-1] - 1) // 2
        return F.conv1d(x, weight, bias, padding=padding, dilation=dilation)

    def act(x: torch.Tensor, name: str) -> torch.Tensor:
        alpha, beta = (tensors[f"{name}.act.{p}"].exp()[:, None] for p in ("alpha", "beta"))
        x = doubled_by_textbook(x, tensors[f"{name}.upsample.filter"][0, 0])
        x = x + (alpha * x).sin() ** 2 / (beta + 1e-9)
        return halved_by_textbook(x, tensors[f"{name}.downsample.lowpass.filter"][0, 0])

    def residual(x: torch.Tensor, name: str, dilations: tuple[int, ...]) -> torch.Tensor:
        for i, dilation in enumerate(dilations):
            inner = conv(act(x, f"{name}.activations.{2 * i}"), f"{name}.convs1.{i}", dilation)
            x = x + conv(act(inner, f"{name}.activations.{2 * i + 1}"), f"{name}.convs2.{i}")
        return x

    x, kinds = conv(mel, "conv_pre"), len(config.resblock_kernel_sizes)
    for i, (rate, kernel) in enumerate(
        zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    ):
        weight, bias = tensors[f"ups.{i}.0.weight"], tensors[f"ups.{i}.0.bias"]
        x = F.conv_transpose1d(x, weight, bias, stride=rate, padding=(kernel - rate) // 2)
        blocks = enumerate(config.resblock_dilation_sizes, i * kinds)
        x = sum(residual(x, f"resblocks.{n}", dilations) for n, dilations in blocks) / kinds
    return conv(act(x, "activation_post"), "conv_post").tanh().squeeze(1)


def test_rows_of_a_batch_are_independent() -> None:
    vocoder, mel = Vocoder(SMALL), torch.randn(2, 80, 4)
    with torch.inference_mode():
        together, alone = vocoder(mel), vocoder(mel[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-6, rtol=0)


def test_anti_aliasing_can_be_switched() -> None:
    vocoder, mel = Vocoder(SMALL, anti_aliased=False), torch.randn(1, 80, 4)
    assert not vocoder.anti_aliased
    with torch.inference_mode():
        plain = vocoder(mel)
        vocoder.anti_aliased = True
        filtered = vocoder(mel)
    assert vocoder.anti_aliased
    assert not torch.equal(plain, filtered)


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_trained_form_survives_folding(resblock: str) -> None:
    config = replace(SMALL, resblock=resblock)
    trained, mel = Vocoder(config, weight_norm=True), torch.randn(1, 80, 4)
    tensors = fold_weight_norm(trained.published_tensors())
    without_filters = {name: t for name, t in tensors.items() if not name.endswith("filter")}
    plain = Vocoder(config)
    plain.load_published(without_filters)
    with torch.inference_mode():
        torch.testing.assert_close(plain(mel), trained(mel), atol=1e-6, rtol=0)


def test_splitting_is_undone_by_folding_to_the_bit() -> None:
    vocoder = Vocoder(SMALL)
    with torch.no_grad():
        vocoder.conv_pre.weight[3] = 0
    plain = vocoder.published_tensors()
    names = Vocoder(SMALL, weight_norm=True).published_tensors()
    pairs = split_weight_norm(plain, names)
    assert pairs.keys() == names.keys()
    folded = fold_weight_norm(pairs)
    assert all(torch.equal(folded[name], tensor) for name, tensor in plain.items())


def test_configuration_survives_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**SMALL.to_json(), "batch_size": 32}), encoding="utf-8")
    assert VocoderConfig.from_json(path) == SMALL


@pytest.mark.parametrize(
    "change",
    [
        {"upsample_rates": [5, 2]},
        {"upsample_kernel_sizes": [9, 4, 4, 4, 4, 4, 4]},
        {"hop_size": 240},
        {"upsample_initial_channel": 127},
        {"resblock": "3"},
        {"activation": "relu"},
    ],
)
def test_impossible_configurations_are_refused(change: dict) -> None:
    with pytest.raises(CheckpointError):
        VocoderConfig.from_json({**SMALL.to_json(), **change})


def test_incomplete_configurations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="upsample_rates"):
        VocoderConfig.from_json({})
    with pytest.raises(CheckpointError, match="absent"):
        VocoderConfig.from_json(tmp_path / "absent.json")


def test_mel_of_too_little_audio_is_refused() -> None:
    with pytest.raises(AudioError):
        log_mel(torch.zeros(1, 720), SMALL)
