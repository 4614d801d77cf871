"""The vocoder's periodic activation, and its evaluation at twice the rate against aliasing.

Axis letters: B batch, C channels, T time.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = 12
"""Length of the low-pass filter around the activation; published checkpoints store its taps."""
RATIO = 2
_HALF_WIDTH = 0.3
"""Width of the filter's transition band, as a share of the doubled sampling rate."""
_BLOCK = 16
"""Samples at the single rate that one row of the filter matrix covers."""
_REACH = TAPS // RATIO // 2
"""Samples at the single rate to each side that an upsampled value depends on."""


class Snake(nn.Module):
    """x + sin²(αx)/β with α (frequency) and β (inverse magnitude) learned for each channel.

    ``separate_beta=False`` is the original snake, in which β is α.
    """

    def __init__(self, channels: int, *, log_scale: bool, separate_beta: bool) -> None:
        super().__init__()
        initial = torch.zeros if log_scale else torch.ones
        self.log_scale = log_scale
        self.alpha = nn.Parameter(initial(channels))
        self.beta = nn.Parameter(initial(channels)) if separate_beta else None

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) -> (B, C, T)
        alpha = self.alpha
        beta = alpha if self.beta is None else self.beta
        if self.log_scale:
            alpha, beta = alpha.exp(), beta.exp()
        magnitude = 1.0 / (beta + 1e-9)  # the published constant against division by zero
        return _SnakeFunction.apply(x, alpha[:, None], magnitude[:, None])


class _SnakeFunction(torch.autograd.Function):
    """x + m sin²(αx) with its gradient in closed form: half the time of the recorded operations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, magnitude: Tensor) -> Tensor:
        square = (x * alpha).sin_().square_()
        ctx.save_for_backward(x, alpha, magnitude, square)
        return torch.addcmul(x, magnitude, square)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, alpha, magnitude, square = ctx.saved_tensors
        slope = (x * (2 * alpha)).sin_().mul_(gradient)  # d sin²(αx) = sin(2αx) d(αx)
        to_x = torch.addcmul(gradient, slope, magnitude * alpha)
        to_alpha = slope.mul_(x).sum((0, 2))[:, None] * magnitude
        return to_x, to_alpha, (gradient * square).sum((0, 2))[:, None]


class KaiserSinc(nn.Module):
    """Holder of one fixed low-pass filter, ``filter`` (1, 1, TAPS), under its published name."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", kaiser_sinc().view(1, 1, TAPS))


class AntiAliasedActivation(nn.Module):
    """Upsamples by two, applies ``act``, filters and downsamples by two.

    A sine of a signal has overtones beyond the Nyquist frequency; without the detour they fold back
    as inharmonic noise. ``enabled=False`` skips the detour, which makes training several times
    cheaper. Source: StyleGAN3, arXiv 2106.12423; BigVGAN §3.2.
    """

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.act = act
        self.enabled = True
        self.upsample = KaiserSinc()
        self.downsample = nn.ModuleDict({"lowpass": KaiserSinc()})

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) -> (B, C, T)
        if not self.enabled:
            return self.act(x)
        doubled = upsample(x, self.upsample.filter)
        return downsample(self.act(doubled), self.downsample["lowpass"].filter)


def kaiser_sinc() -> Tensor:
    """Taps (TAPS,) of a sinc that cuts at a quarter of the doubled rate, under a Kaiser window."""
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * _HALF_WIDTH + 7.95  # dB, Kaiser's rule
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    cpu = torch.device("cpu")  # a range on the meta device imports torch's compiler: 60 MB
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float32, device=cpu)
    time = torch.arange(TAPS, device=cpu) - (TAPS - 1) / 2
    taps = window * torch.sinc(time / RATIO)
    return taps / taps.sum()


def upsample(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, T) -> (B, C, 2T): zeros between the samples, then the low-pass; edges replicated."""
    to_matrix, _ = _tap_numbers(x.device)
    matrix = _banded(taps * RATIO, to_matrix).to(x.dtype)
    return _filter_blocks(x, matrix, before=_REACH, step=_BLOCK, length=RATIO * x.shape[-1])


def downsample(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, 2T) -> (B, C, T): low-pass and keep every second sample; edges replicated."""
    _, to_matrix = _tap_numbers(x.device)
    matrix = _banded(taps, to_matrix).to(x.dtype)
    step, length = RATIO * _BLOCK, x.shape[-1] // RATIO
    return _filter_blocks(x, matrix, before=TAPS // 2 - 1, step=step, length=length)


def _filter_blocks(x: Tensor, matrix: Tensor, before: int, step: int, length: int) -> Tensor:
    """Applies a filter as a matrix product: ``step`` new inputs and their context per row.

    With one input channel and twelve taps a convolution routine has nothing to hold on to; the
    banded matrix does three times the arithmetic in half the time, forward and backward.
    x: (B, C, T); matrix: (context, outputs per row); before: context in front of the first sample.
    """
    batch, channels, time = x.shape
    width = matrix.shape[0]
    rows = -(-time // step)
    padding = (before, (rows + 1) * step - time - before)
    if torch.is_grad_enabled():  # the gradient of overlapping views is slow
        padded = F.pad(x, padding, mode="replicate").view(batch * channels, rows + 1, step)
        windows = torch.cat((padded[:, :-1], padded[:, 1:, : width - step]), dim=-1)
    else:
        padded = _replicated(x, *padding).view(batch * channels, -1)
        windows = padded.unfold(1, width, step)[:, :rows]
    filtered = windows.reshape(-1, width) @ matrix
    return filtered.view(batch, channels, -1)[..., :length]


def _replicated(x: Tensor, before: int, after: int) -> Tensor:
    """x (B, C, T) between repetitions of its edges; plain copies, faster than a pad."""
    batch, channels, time = x.shape
    padded = x.new_empty(batch, channels, before + time + after)
    padded[..., :before] = x[..., :1]
    padded[..., before : before + time] = x
    padded[..., before + time :] = x[..., -1:]
    return padded


def _banded(taps: Tensor, numbers: Tensor) -> Tensor:
    """Matrix of filter taps by their numbers, where number TAPS stands for zero."""
    return F.pad(taps.flatten(), (0, 1))[numbers]


@lru_cache(maxsize=8)
def _tap_numbers(device: torch.device) -> tuple[Tensor, Tensor]:
    """Which tap leads from input to output: (16 + 6, 32) for upsampling, (32 + 10, 16) for down."""
    # Made outside of inference mode, since training may use the same tables later.
    with torch.inference_mode(False):
        coarse = torch.arange(_BLOCK + 2 * _REACH, device=device)
        fine = torch.arange(RATIO * _BLOCK + TAPS - RATIO, device=device)
        up = TAPS - 1 + fine[: RATIO * _BLOCK] - RATIO * coarse[:, None]
        down = fine[:, None] - RATIO * coarse[:_BLOCK]
        return tuple(n.where((n >= 0) & (n < TAPS), TAPS) for n in (up, down))
