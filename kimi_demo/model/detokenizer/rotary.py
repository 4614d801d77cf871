"""Rotary positions of the flow-matching transformer: neighbouring pairs, over the whole head.

B batch, H heads, T time in frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kimi_demo.model.detokenizer.config import FlowConfig


def rotary_table(config: FlowConfig, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (B, 1, T, head / 2) of integer `positions` (B, T), in float32."""
    pairs = torch.arange(0, config.head_size, 2, device=positions.device, dtype=torch.float32)
    frequencies = 1.0 / config.rope_base ** (pairs / config.head_size)
    scaled = positions.to(torch.float32) / config.rope_interpolation
    angles = scaled[:, None, :, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turns each pair (x[2i], x[2i + 1]) of x (B, H, T, head); float32 inside, dtype kept."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = (even * cosines - odd * sines, even * sines + odd * cosines)
    return torch.stack(turned, dim=-1).flatten(-2).to(x.dtype)
