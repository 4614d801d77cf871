"""Turns the token chunks of one stream into mel, each continuing the ones before.

T time in mel frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kimi_demo.model.detokenizer.cache import FlowCache
from kimi_demo.model.detokenizer.chunking import Chunk
from kimi_demo.model.detokenizer.config import StreamingConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.solver import CLEAN_TIMESTEP, euler_schedule

NoiseSource = Callable[[int], Tensor]
"""Takes a number of frames T, returns standard normal noise (T, mel_bins), float32."""


def seeded_noise(seed: int, mel_bins: int) -> NoiseSource:
    """Noise drawn on the CPU, so that a seed means the same sound on every device."""
    generator = torch.Generator().manual_seed(seed)
    return lambda frames: torch.randn(frames, mel_bins, generator=generator)


class MelStream:
    """One stream's place in the flow-matching transformer's time line."""

    def __init__(self, flow: FlowTransformer, config: StreamingConfig, noise: NoiseSource) -> None:
        self.flow = flow
        self.config = config
        self.position = 0  # of the next chunk's first frame
        self.cache = FlowCache(
            flow.config,
            slots=1,
            capacity=config.max_cache_frames,
            chunk_frames=config.max_chunk_frames,
            device=flow.device,
            dtype=flow.dtype,
        )
        self._noise = noise
        self._schedule = euler_schedule(config.ode_grid_points)

    @torch.inference_mode()
    def generate(self, chunk: Chunk, is_wanted: Callable[[], bool] = lambda: True) -> Tensor | None:
        """Returns: log-mel (T, mel_bins) of the chunk's finished tokens, float32; None if it is no
        longer wanted, which is asked before each evaluation.
        """
        frames = len(chunk.tokens) * self.config.frames_per_token
        finished = chunk.finished_tokens * self.config.frames_per_token
        self._make_room(frames)
        tokens = torch.tensor([chunk.tokens], device=self.flow.device)
        noise = self._noise(frames).to(self.flow.device)[None]
        mel = noise
        for step in self._schedule:
            if not is_wanted():
                return None
            mel = mel + step.size * self._velocity(mel, tokens, step.timestep)
        mel = mel[:, :finished]
        if chunk.is_final:
            self.reset()
        else:
            self._remember(mel, tokens[:, : chunk.finished_tokens])
        return self._denormalize(mel[0])

    def reset(self) -> None:
        """Back to an empty past."""
        self.cache.reset(0)
        self.position = 0

    def _velocity(self, x: Tensor, tokens: Tensor, timestep: int) -> Tensor:
        end = self.position + x.shape[1]
        positions = torch.arange(self.position, end, device=x.device)[None]
        timesteps = torch.full((1, 1), timestep, device=x.device)
        return self.flow(x, tokens, timesteps, positions, self.cache).float()

    def _remember(self, mel: Tensor, tokens: Tensor) -> None:
        """Shows the finished frames to the model once more, as clean ones, and keeps their keys."""
        frames = mel.shape[1]
        self._velocity(mel, tokens, CLEAN_TIMESTEP)
        self.cache.commit([frames], frames)
        self.position += frames
        limit = self.flow.config.max_positions
        if self.config.position_limit == "restart" and self.position + 2 * frames > limit:
            self.reset()

    def _make_room(self, frames: int) -> None:
        """Renumbers the past from 0 when positions run out; only distances matter to the model."""
        limit = self.flow.config.max_positions
        if self.config.position_limit == "rebase" and self.position + frames > limit:
            stored = self.cache.stored(0)
            self.cache.shift_positions(0, stored - self.position)
            self.position = stored

    def _denormalize(self, mel: Tensor) -> Tensor:
        config = self.flow.config
        return mel * config.mel_std + config.mel_mean if config.normalize_mel else mel
