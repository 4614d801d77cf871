"""Qwen2 decoder layers, written out: attention, MLP, norms and the rotary table.

Parameter names are the published ones. What attention sees, and where new keys and values go, is
the business of the `Memory` that is passed in; see `kimi_demo.model.cache`.
Axes: B rows, T positions, D width, H query heads, G key-value heads, E head size.
Source: Qwen2 (arXiv 2407.10671).
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.linear import FusedLinear

Rotary = tuple[Tensor, Tensor]  # cosines and signed sines, (B, T, 1, E)


class Memory(Protocol):
    """Stores the keys and values of new positions, and lets their queries attend."""

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, H, T, E), (B, G, T, E), (B, G, T, E) -> (B, H, T, E)."""
        ...


class RotaryTable:
    """Cosines and sines of every position, computed once in float32; one more for idle rows."""

    def __init__(self, config: LanguageModelConfig, device: torch.device | str = "cpu") -> None:
        size = config.head_size
        exponents = torch.arange(0, size, 2, dtype=torch.float32, device=device) / size
        positions = torch.arange(config.max_positions + 1, dtype=torch.float32, device=device)
        angles = positions[:, None] * (1.0 / config.rope_theta**exponents)
        sines = angles.sin()
        self._cosines = torch.cat([angles.cos()] * 2, -1)  # (positions, E)
        self._sines = torch.cat([-sines, sines], -1)

    def at(self, positions: Tensor, dtype: torch.dtype) -> Rotary:
        """positions: (B, T) -> both tables for them, in the model's precision."""
        tables = (self._cosines, self._sines)
        cosines, sines = (table[positions].unsqueeze(-2).to(dtype) for table in tables)
        return cosines, sines


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turns (B, T, heads, E) to its positions: pairs are half a head apart."""
    cosines, sines = rotary
    return x * cosines + x.roll(x.shape[-1] // 2, -1) * sines


class RMSNorm(nn.Module):
    """Scales to unit mean square, in float32, then by a learned weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


class Attention(nn.Module):
    """Self-attention with rotary positions; several query heads may share keys and values."""

    def __init__(self, config: LanguageModelConfig, layer: int) -> None:
        super().__init__()
        width, size = config.hidden_size, config.head_size
        self.layer, self.size = layer, size
        self.heads, self.shared_heads = config.num_heads, config.num_kv_heads
        self.q_proj = nn.Linear(width, self.heads * size)
        self.k_proj = nn.Linear(width, self.shared_heads * size)
        self.v_proj = nn.Linear(width, self.shared_heads * size)
        self.o_proj = nn.Linear(self.heads * size, width, bias=False)
        self._fused: tuple[FusedLinear, FusedLinear] | None = None

    def forward(self, x: Tensor, rotary: Rotary, memory: Memory) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        states = self._project_in(x).unflatten(-1, (-1, self.size))  # (B, T, H + 2 G, E)
        turned, values = states.tensor_split([self.heads + self.shared_heads], dim=-2)
        queries, keys = rotate(turned, rotary).tensor_split([self.heads], dim=-2)
        parts = (part.transpose(1, 2) for part in (queries, keys, values))
        mixed = memory.attend(self.layer, *parts)
        mixed = mixed.transpose(1, 2).flatten(2)
        return self._fused[1](mixed) if self._fused else self.o_proj(mixed)

    def fuse(self) -> None:
        """Projects queries, keys and values at once from now on."""
        inputs = FusedLinear([self.q_proj, self.k_proj, self.v_proj])
        self._fused = inputs, FusedLinear([self.o_proj])

    def _project_in(self, x: Tensor) -> Tensor:
        if self._fused:
            return self._fused[0](x)
        return torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x)], -1)


class Mlp(nn.Module):
    """Gated by SiLU."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self._fused: tuple[FusedLinear, FusedLinear] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        if self._fused:
            gate, up = self._fused[0](x).chunk(2, -1)
            return self._fused[1](F.silu(gate) * up)
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

    def fuse(self) -> None:
        """Projects gate and value at once from now on."""
        self._fused = FusedLinear([self.gate_proj, self.up_proj]), FusedLinear([self.down_proj])


class DecoderLayer(nn.Module):
    """Attention, then MLP, each behind a norm and bridged by a residual connection."""

    def __init__(self, config: LanguageModelConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = Mlp(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, rotary: Rotary, memory: Memory) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.self_attn(self.input_layernorm(x), rotary, memory)
        return x + self.mlp(self.post_attention_layernorm(x))

    def fuse(self) -> None:
        """See `Attention.fuse`, `Mlp.fuse`; for whole layers of one precision on one device."""
        self.self_attn.fuse()
        self.mlp.fuse()
