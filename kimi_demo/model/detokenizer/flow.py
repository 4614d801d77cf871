"""The flow-matching transformer: which way a noisy mel should move to become the spoken tokens.

B batch, T time in mel frames, N time in tokens, D width, H heads.

Module names are those of the published weights. LayerNorms carry no weights of their own: shift,
scale and gate come from the tokens and the time of the flow. All of that is the same for the frames
of one token, so it is computed per token.

Source: DiT (arXiv 2212.09748), Kimi-Audio report (arXiv 2504.18425) §2.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kimi_demo.model.detokenizer.cache import FlowCache
from kimi_demo.model.detokenizer.config import FlowConfig
from kimi_demo.model.detokenizer.rotary import rotary_table, rotate

_LAYER_NORM_EPS = 1e-6
_TIME_FEATURES = 256
_LONGEST_PERIOD = 10000.0


class TimestepEmbedder(nn.Module):
    """Sinusoids of the timestep, cosines first, through a small MLP."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(_TIME_FEATURES, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size)
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        """(B, N) timesteps in [0, 1000) -> (B, N, D)."""
        half = _TIME_FEATURES // 2
        steps = torch.arange(half, device=timesteps.device, dtype=torch.float32)
        angles = timesteps.float()[..., None] * torch.exp(-math.log(_LONGEST_PERIOD) * steps / half)
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.mlp(features.to(self.mlp[0].weight.dtype))


# Finished frames to attend to: of one row each, or one cache with a slot for each row.
Caches = Sequence[FlowCache] | FlowCache | None


class Attention(nn.Module):
    """Self-attention over the given frames and, with caches, over finished ones."""

    def __init__(self, config: FlowConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.num_heads = layer, config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        caches: Caches,
        mask: Tensor | None,
    ) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, H, head)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)
        if caches is None or isinstance(caches, FlowCache):
            mixed = self._attend(queries, keys, values, caches, mask)
        else:  # each row has a past of its own length
            rows = zip(queries.split(1), keys.split(1), values.split(1), caches, strict=True)
            mixed = torch.cat([self._attend(*row, mask) for row in rows])
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _attend(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        cache: FlowCache | None,
        mask: Tensor | None,
    ) -> Tensor:
        if cache is not None:
            keys, values = cache.extend(self.layer, keys, values)
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


class Mlp(nn.Module):
    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.mlp_size)
        self.fc2 = nn.Linear(config.mlp_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: FlowConfig, layer: int) -> None:
        super().__init__()
        self.attn = Attention(config, layer)
        self.mlp = Mlp(config)
        self.adaLN_modulation = _modulation(config, outputs=6)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        rotary: tuple[Tensor, Tensor],
        caches: Caches,
        mask: Tensor | None,
    ) -> Tensor:
        parts = self.adaLN_modulation(condition).chunk(6, dim=-1)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts
        x = x + _per_token(self.attn(_modulate(x, shift, scale), rotary, caches, mask), gate)
        return x + _per_token(self.mlp(_modulate(x, mlp_shift, mlp_scale)), mlp_gate)


class FinalLayer(nn.Module):
    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.hidden_size, config.mel_bins)
        self.adaLN_modulation = _modulation(config, outputs=2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        return self.linear(_modulate(x, shift, scale))


class FlowTransformer(nn.Module):
    """Velocity of the flow for every frame, given its token, its time and its neighbours."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.t_embedder = TimestepEmbedder(config.hidden_size)
        self.semantic_token_embedding = nn.Embedding(config.vocabulary_size + 1, config.hidden_size)
        self.input_linear = nn.Linear(config.mel_bins, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.depth))
        self.final_layer = FinalLayer(config)

    @property
    def device(self) -> torch.device:
        return self.input_linear.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.input_linear.weight.dtype

    def forward(
        self,
        frames: Tensor,
        tokens: Tensor,
        timesteps: Tensor,
        positions: Tensor,
        cache: Caches = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """One evaluation; rows of the batch do not see each other.

        frames: (B, T, mel_bins) normalised, noisy or clean. tokens: (B, N), each for T / N frames
        in a row. timesteps: (B, 1) or (B, N) integers in [0, 1000). positions: (B, T) integers.
        cache: finished frames to attend to: one with B slots, or B with one slot each. mask: True
            where a key may be attended to, broadcast to (B, H, T, keys); keys are this chunk's,
            then the cache's.
        Returns: (B, T, mel_bins) in the dtype of the weights.
        """
        condition = self.t_embedder(timesteps) + self.semantic_token_embedding(tokens)
        rotary = rotary_table(self.config, positions)
        x = self.input_linear(frames.to(self.dtype))
        for block in self.blocks:
            x = block(x, condition, rotary, cache, mask)
        return self.final_layer(x, condition)


def _modulation(config: FlowConfig, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(config.hidden_size, outputs * config.hidden_size))


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm of x (B, T, D), then scale and shift (B, N, D) of each frame's token."""
    normed = F.layer_norm(x, x.shape[-1:], eps=_LAYER_NORM_EPS).unflatten(1, (shift.shape[1], -1))
    return (normed * (1 + scale.unsqueeze(2)) + shift.unsqueeze(2)).flatten(1, 2)


def _per_token(x: Tensor, factor: Tensor) -> Tensor:
    """x (B, T, D) times the factor (B, N, D) of each frame's token."""
    return (x.unflatten(1, (factor.shape[1], -1)) * factor.unsqueeze(2)).flatten(1, 2)
