"""Whisper's encoder, written out: importing that of transformers takes 150 MB and two seconds.

Parameter names are the published ones.
Axes: B batch, M mel bins, T time, H heads, E head size, D width.
Source: Whisper (arXiv 2212.04356).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WhisperConfig

_FLOAT16_MARGIN = 1000  # below the largest float16, where states are cut off


class Attention(nn.Module):
    """Self-attention over all frames; keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """(B, T, D) -> (B, T, D). visible: see `EncoderLayer`."""
        parts = (self.q_proj(x) * self.scale, self.k_proj(x), self.v_proj(x))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, visible, scale=1.0)  # (B, H, T, E)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Attention, then MLP, each behind a norm and bridged by a residual connection."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width, inner = config.d_model, config.encoder_ffn_dim
        self.self_attn = Attention(width, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D). visible: true where a query may see a key, broadcast to
        (B, H, T, T)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), visible)
        x = x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))
        if x.dtype == torch.float16:
            limit = torch.finfo(x.dtype).max - _FLOAT16_MARGIN
            x = x.clamp(-limit, limit)
        return x


class WhisperEncoder(nn.Module):
    """Log-mel of any length to states."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width = config.d_model
        self.config = config
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, T) -> (B, T / 2, D)."""
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


def sinusoids(length: int, width: int) -> Tensor:
    """(length, D) of the position table: sines, then cosines, of wavelengths from 2 pi up to
    20,000 pi."""
    step = math.log(10_000.0) / (width // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(width // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)
