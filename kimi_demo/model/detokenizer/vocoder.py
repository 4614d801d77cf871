"""BigVGAN: log-mel frames to a waveform.

Module and parameter names are the published ones, so that a checkpoint's tensors find their place
by name alone. Axis letters: B batch, M mel bands, C channels, T frames, N samples.
Source: BigVGAN, arXiv 2206.04658.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.activations import AntiAliasedActivation, Snake
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig

FILTER_SUFFIXES = ("upsample.filter", "downsample.lowpass.filter")
_WEIGHT_NORM_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


class Vocoder(nn.Module):
    """Synthesises a waveform from log-mel frames.

    ``weight_norm=True`` keeps each convolution as magnitude and direction, the form in which it is
    trained and published; by default it holds the plain weight, which is all that synthesis needs.
    """

    def __init__(
        self, config: VocoderConfig, *, weight_norm: bool = False, anti_aliased: bool = True
    ) -> None:
        super().__init__()
        self.config = config
        self.weight_norm = weight_norm
        stages = range(len(config.upsample_rates))
        self.conv_pre = nn.Conv1d(config.num_mels, config.upsample_initial_channel, 7, padding=3)
        self.ups = nn.ModuleList(nn.ModuleList([_upsampling(config, i)]) for i in stages)
        self.resblocks = nn.ModuleList(
            ResidualBlock(config, config.channels(i + 1), kernel, dilations)
            for i in stages
            for kernel, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        )
        last = config.channels(len(stages))
        self.activation_post = _activation(config, last)
        self.conv_post = nn.Conv1d(last, 1, 7, padding=3, bias=config.use_bias_at_final)
        self.anti_aliased = anti_aliased
        if weight_norm:
            for module in self._convolutions():
                parametrizations.weight_norm(module)

    def forward(self, mel: Tensor) -> Tensor:
        """mel: (B, M, T) natural-log mel, not normalised. Returns: (B, T * hop_size) in [-1, 1]."""
        return self.synthesize(self.conv_pre(mel))

    def synthesize(self, hidden: Tensor) -> Tensor:
        """Everything behind ``conv_pre``: (B, C, T) -> (B, T * hop_size)."""
        parallel = len(self.config.resblock_kernel_sizes)
        for i, (upsampling,) in enumerate(self.ups):
            hidden = upsampling(hidden)
            blocks = self.resblocks[i * parallel : (i + 1) * parallel]
            hidden = sum(block(hidden) for block in blocks) / parallel
        waveform = self.conv_post(self.activation_post(hidden)).squeeze(1)
        return waveform.tanh() if self.config.use_tanh_at_final else waveform.clamp(-1.0, 1.0)

    @property
    def anti_aliased(self) -> bool:
        """Whether activations run at twice the rate. Off only for the first part of training."""
        return self.activation_post.enabled

    @anti_aliased.setter
    def anti_aliased(self, enabled: bool) -> None:
        for module in self.modules():
            if isinstance(module, AntiAliasedActivation):
                module.enabled = enabled

    def published_tensors(self) -> dict[str, Tensor]:
        """The state under its published names: weight-norm pairs if this module has them."""
        return {_published_name(name): tensor for name, tensor in self.state_dict().items()}

    def load_published(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over a checkpoint's tensors, without the ``generator.`` prefix of the release.

        Weight-norm pairs are folded into plain weights if this module has plain weights. The fixed
        anti-aliasing filters may all be left out, since they can be computed.
        Raises: CheckpointError naming every missing, surplus or misshapen tensor.
        """
        own = self.published_tensors()
        given = dict(tensors) if self.weight_norm else fold_weight_norm(tensors)
        if not any(name.endswith(FILTER_SUFFIXES) for name in given):
            given |= {name: own[name] for name in own if name.endswith(FILTER_SUFFIXES)}
        _require_same_layout(own, given)
        self.load_state_dict({name: given[_published_name(name)] for name in self.state_dict()})

    def _convolutions(self) -> list[nn.Module]:
        return [m for m in self.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]


class ResidualBlock(nn.Module):
    """Dilated convolutions, each behind an activation and bridged by a residual connection.

    Layout "1" (AMP1) follows each dilated convolution by an undilated one; layout "2" does not.
    """

    def __init__(
        self, config: VocoderConfig, channels: int, kernel: int, dilations: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.paired = config.resblock == "1"
        dilated = nn.ModuleList(_convolution(channels, kernel, d) for d in dilations)
        if self.paired:
            self.convs1 = dilated
            self.convs2 = nn.ModuleList(_convolution(channels, kernel, 1) for _ in dilations)
        else:
            self.convs = dilated
        activations = len(dilations) * (2 if self.paired else 1)
        self.activations = nn.ModuleList(_activation(config, channels) for _ in range(activations))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) -> (B, C, T)
        if not self.paired:
            for activation, conv in zip(self.activations, self.convs, strict=True):
                x = x + conv(activation(x))
            return x
        firsts, seconds = self.activations[0::2], self.activations[1::2]
        for act1, conv1, act2, conv2 in zip(firsts, self.convs1, seconds, self.convs2, strict=True):
            x = x + conv2(act2(conv1(act1(x))))
        return x


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces each pair ``weight_g`` (magnitude), ``weight_v`` (direction) by ``weight``.

    Raises: CheckpointError if one half of a pair is missing.
    """
    folded = {}
    for name, tensor in tensors.items():
        stem, _, leaf = name.rpartition(".")
        if leaf not in ("weight_g", "weight_v"):
            folded[name] = tensor
            continue
        pair = [tensors.get(f"{stem}.{half}") for half in ("weight_v", "weight_g")]
        if pair[0] is None or pair[1] is None:
            raise CheckpointError(f"The vocoder checkpoint has only one half of {stem}.weight.")
        folded[f"{stem}.weight"] = torch._weight_norm(*(half.float() for half in pair), 0)
    return folded


def split_weight_norm(tensors: Mapping[str, Tensor], names: Container[str]) -> dict[str, Tensor]:
    """The inverse of `fold_weight_norm`, to the bit, where `names` has pairs."""
    split = {}
    for name, tensor in tensors.items():
        stem = name.removesuffix(".weight")
        if name in names or f"{stem}.weight_g" not in names:
            split[name] = tensor
        else:
            ones = torch.ones(len(tensor), *[1] * (tensor.dim() - 1))
            # The norm as `_weight_norm` itself computes it: their quotient is exactly one.
            norm = torch._weight_norm_interface(tensor, ones, 0)[1]
            split[f"{stem}.weight_g"] = norm
            split[f"{stem}.weight_v"] = tensor.where(norm > 0, 1.0)  # zeros have no direction
    return split


def _upsampling(config: VocoderConfig, stage: int) -> nn.ConvTranspose1d:
    rate, kernel = config.upsample_rates[stage], config.upsample_kernel_sizes[stage]
    before, after = config.channels(stage), config.channels(stage + 1)
    return nn.ConvTranspose1d(before, after, kernel, rate, padding=(kernel - rate) // 2)


def _convolution(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    padding = dilation * (kernel - 1) // 2
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding)


def _activation(config: VocoderConfig, channels: int) -> AntiAliasedActivation:
    separate_beta = config.activation == "snakebeta"
    snake = Snake(channels, log_scale=config.snake_logscale, separate_beta=separate_beta)
    return AntiAliasedActivation(snake)


def _published_name(name: str) -> str:
    for ours, published in _WEIGHT_NORM_NAMES.items():
        name = name.replace(ours, published)
    return name


def _require_same_layout(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    problems = [f"the tensor {name} is missing" for name in own if name not in given]
    problems += [f"the tensor {name} is not part of it" for name in given if name not in own]
    problems += [
        f"the tensor {name} has shape {list(given[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in given and given[name].shape != tensor.shape
    ]
    if problems:
        more = f" ({len(problems) - 1} more do not fit)" if problems[1:] else ""
        raise CheckpointError(f"the weights do not fit the vocoder: {problems[0]}{more}")
