"""Keys and values of finished frames, preallocated for a fixed number of streams.

B slots (one stream each), H heads, T frames of the running chunk, C capacity in finished frames.

The key axis of every buffer is `[chunk region | ring of C frames]`. The running chunk is written at
the right edge of its region, so that it and the filled part of the ring lie side by side: attention
reads one slice, nothing is concatenated or moved, and shapes depend on T and on the fill alone. The
order of keys is of no concern to attention since each carries its position in its rotation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kimi_demo.model.detokenizer.config import FlowConfig
from kimi_demo.model.detokenizer.rotary import rotary_table, rotate


class FlowCache:
    """The last `capacity` finished frames of each slot, and room for a chunk of `chunk_frames`."""

    def __init__(
        self,
        config: FlowConfig,
        slots: int,
        capacity: int,
        chunk_frames: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        length = chunk_frames + capacity
        shape = (config.depth, slots, config.num_heads, length, config.head_size)
        self.config = config
        self.capacity = capacity
        self.chunk_frames = chunk_frames
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self._written = [0] * slots  # frames since the last reset

    def stored(self, slot: int) -> int:
        """Finished frames that `slot` can attend to."""
        return min(self._written[slot], self.capacity)

    @property
    def extent(self) -> int:
        """Ring frames that attention has to read: the fill of the fullest slot."""
        return max(self.stored(slot) for slot in range(len(self._written)))

    def mask(self, frame_counts: Sequence[int], frames: int) -> Tensor | None:
        """(B, 1, 1, frames + extent), True where a key is real; None if all of them are.

        `frame_counts[b]` of the chunk's `frames` belong to slot b, the rest is padding. The first
        frame always counts as real: a slot that sits idle then has something to attend to.
        """
        stored = [self.stored(slot) for slot in range(len(self._written))]
        if min(frame_counts) == frames and min(stored) == self.extent:
            return None
        device = self.keys.device
        counts = torch.tensor(frame_counts, device=device).clamp(min=1)
        chunk = torch.arange(frames, device=device) < counts[:, None]
        ring = (
            torch.arange(self.extent, device=device) < torch.tensor(stored, device=device)[:, None]
        )
        return torch.cat([chunk, ring], dim=1)[:, None, None]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Places a chunk (B, H, T, head) beside the ring; returns all keys and values to attend to.

        The chunk is forgotten at the next call unless `commit` comes first.
        """
        start, end = self.chunk_frames - keys.shape[2], self.chunk_frames + self.extent
        self.keys[layer, :, :, start : self.chunk_frames] = keys
        self.values[layer, :, :, start : self.chunk_frames] = values
        return self.keys[layer, :, :, start:end], self.values[layer, :, :, start:end]

    def commit(self, frame_counts: Sequence[int], frames: int) -> None:
        """Keeps the first `frame_counts[b]` of the last chunk's `frames`, over the oldest ones."""
        start = self.chunk_frames - frames
        for slot, count in enumerate(frame_counts):
            kept = min(count, self.capacity)
            source = torch.arange(start + count - kept, start + count, device=self.keys.device)
            turn = self._written[slot] + count - kept
            target = torch.arange(turn, turn + kept, device=self.keys.device) % self.capacity
            for buffer in (self.keys, self.values):
                buffer[:, slot, :, self.chunk_frames + target] = buffer[:, slot, :, source]
            self._written[slot] += count

    def shift_positions(self, slot: int, frames: int) -> None:
        """Moves everything that `slot` has stored by `frames` positions (negative: backwards).

        Rotations add up, so a stored key needs one more turn and not the frame it came from.
        """
        shift = torch.tensor([[frames]], device=self.keys.device)
        ring = self.keys[:, slot, :, self.chunk_frames :]
        ring.copy_(rotate(ring, *rotary_table(self.config, shift)))

    def reset(self, slot: int) -> None:
        """Forgets the frames of `slot`."""
        self._written[slot] = 0
