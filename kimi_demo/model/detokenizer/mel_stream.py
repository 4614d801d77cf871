"""Turns the token chunks of one stream into mel, each continuing the ones before.

T time in mel frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
        self.schedule = euler_schedule(config.ode_grid_points)

    def generate(self, chunk: Chunk, is_wanted: Callable[[], bool] = lambda: True) -> Tensor | None:
        """Log-mel (T, mel_bins) of the chunk's finished tokens, float32; None if it is no longer
        wanted, which is asked before each evaluation.
        """
        mels = generate_together([self], [chunk], is_wanted)
        return mels[0] if mels else None

    def reset(self) -> None:
        """Back to an empty past."""
        self.cache.reset(0)
        self.position = 0

    def begin(self, chunk: Chunk) -> Tensor:
        """The noise (T, mel_bins) that the chunk's mel is made from; positions are made free."""
        frames = len(chunk.tokens) * self.config.frames_per_token
        self._make_room(frames)
        return self._noise(frames).to(self.flow.device)

    def finish(self, chunk: Chunk, mel: Tensor) -> Tensor:
        """mel: (T, mel_bins) of the whole chunk, normalised -> log-mel of its finished tokens."""
        frames = chunk.finished_tokens * self.config.frames_per_token
        if chunk.is_final:
            self.reset()
        else:
            self.cache.commit([frames], frames)
            self._advance(frames)
        return self._denormalize(mel[:frames])

    def _advance(self, frames: int) -> None:
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


@torch.inference_mode()
def generate_together(
    streams: Sequence[MelStream],
    chunks: Sequence[Chunk],
    is_wanted: Callable[[], bool] = lambda: True,
) -> list[Tensor]:
    """One chunk of each of several streams of one model, each evaluation of the flow in one call.

    The chunks must be equally long and equally finished. Returns: log-mel (T, mel_bins) of each,
    float32; nothing if they are no longer wanted, which is asked before each evaluation.
    """
    first, chunk = streams[0], chunks[0]
    mel = torch.stack([s.begin(c) for s, c in zip(streams, chunks, strict=True)])
    tokens = torch.tensor([chunk.tokens for chunk in chunks], device=mel.device)
    for step in first.schedule:
        if not is_wanted():
            return []
        mel = mel + step.size * _velocity(streams, mel, tokens, step.timestep)
    if not chunk.is_final:  # the finished frames are shown once more, as clean ones
        frames = chunk.finished_tokens * first.config.frames_per_token
        shown = tokens[:, : chunk.finished_tokens]
        _velocity(streams, mel[:, :frames], shown, CLEAN_TIMESTEP)
    return [s.finish(c, row) for s, c, row in zip(streams, chunks, mel, strict=True)]


def _velocity(streams: Sequence[MelStream], x: Tensor, tokens: Tensor, timestep: int) -> Tensor:
    """One evaluation for a batch (B, T, mel_bins), each row behind its own past."""
    steps = torch.arange(x.shape[1], device=x.device)
    positions = torch.tensor([s.position for s in streams], device=x.device)[:, None] + steps
    timesteps = torch.full((len(streams), 1), timestep, device=x.device)
    caches = [stream.cache for stream in streams]
    return streams[0].flow(x, tokens, timesteps, positions, caches).float()
