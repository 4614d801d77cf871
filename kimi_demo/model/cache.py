"""Keys and values of a number of slots, allocated once, and the ways in which layers use them.

A turn owns one slot from prefill to its end. Each layer's memory lies on the device where that
layer computes.
Axes: B rows, H query heads, G key-value heads, S positions, T new positions, E head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from mmap import mmap

import torch
import torch.nn.functional as F
from torch import Tensor

_BUCKET = 128  # masked attention reads whole buckets of positions, so that few shapes ever occur


class SlotCache:
    """Memory for the attention of all slots. keys, values: (slots, G, S + 1, E) of each layer; the
    cell behind the last position is where idle rows write, and is never read.
    """

    def __init__(
        self,
        devices: Sequence[torch.device],
        slots: int,
        heads: int,
        positions: int,
        head_size: int,
        dtype: torch.dtype,
        fill: float = 0.0,
    ) -> None:
        """devices: of each layer. fill: of cells that nothing was written to; NaN shows in tests
        that none of them is read.
        """
        shape = (slots, heads, positions + 1, head_size)

        def memory() -> tuple[Tensor, ...]:
            cells = (_zeros(shape, device, dtype) for device in devices)
            return tuple(layer.fill_(fill) if fill else layer for layer in cells)

        self.keys, self.values = memory(), memory()
        self.num_slots, self.capacity = slots, positions


def _zeros(shape: Sequence[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """On the CPU such as take no memory until they are written, by small pages: torch writes its
    own at once, numpy asks for pages of 2 MB.
    """
    if device.type != "cpu":
        return torch.zeros(shape, device=device, dtype=dtype)
    cells = mmap(-1, prod(shape) * dtype.itemsize)
    return torch.frombuffer(cells, dtype=dtype).view(*shape)


class Causal:
    """No cache: every position sees itself and those before it in its row (training)."""

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Memory`."""
        grouped = queries.shape[1] != keys.shape[1]
        return F.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, enable_gqa=grouped
        )


class Prefill:
    """New positions from `start` on, of one slot."""

    def __init__(self, cache: SlotCache, slot: int, start: int) -> None:
        self._cache, self._slot, self._start = cache, slot, start

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Memory`; B is 1."""
        count = queries.shape[2]
        end = self._start + count
        stored = (self._cache.keys[layer], self._cache.values[layer])
        seen_keys, seen_values = (memory[self._slot, None, :, :end] for memory in stored)
        seen_keys[:, :, self._start :] = keys
        seen_values[:, :, self._start :] = values
        mask = None
        if self._start and count > 1:
            square = torch.ones(count, end, dtype=torch.bool, device=queries.device)
            mask = square.tril(self._start)
        return F.scaled_dot_product_attention(
            queries,
            seen_keys,
            seen_values,
            mask,
            is_causal=not self._start and count > 1,
            enable_gqa=queries.shape[1] != keys.shape[1],
        )


class SlicedDecode:
    """One new position in each of several slots; each row attends for itself, to exactly what it
    has. Rows beyond `slots` are padding. What a CPU does fastest, and what a row sees does not
    depend on the others.
    """

    def __init__(self, cache: SlotCache, slots: Sequence[int], positions: Sequence[int]) -> None:
        self._cache = cache
        self._rows = tuple(zip(slots, positions, strict=True))

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Memory`; T is 1."""
        stored_keys, stored_values = self._cache.keys[layer], self._cache.values[layer]
        grouped = queries.shape[1] != keys.shape[1]
        mixed = torch.zeros_like(queries)
        for row, (slot, position) in enumerate(self._rows):
            seen_keys = stored_keys[slot, None, :, : position + 1]
            seen_values = stored_values[slot, None, :, : position + 1]
            seen_keys[:, :, -1] = keys[row, :, 0]
            seen_values[:, :, -1] = values[row, :, 0]
            mixed[row] = F.scaled_dot_product_attention(
                queries[row, None], seen_keys, seen_values, enable_gqa=grouped
            )[0]
        return mixed

    def only(self, rows: Sequence[int]) -> SlicedDecode:
        """The same for some of the rows."""
        chosen = [self._rows[row] for row in rows]
        return SlicedDecode(self._cache, [r[0] for r in chosen], [r[1] for r in chosen])


class MaskedDecode:
    """The same over all slots in calls of fixed shape, as an accelerator wants it: row b is slot b,
    and a mask hides what a row has not. Idle rows write where nobody reads.
    """

    def __init__(self, cache: SlotCache, positions: Tensor, extent: int) -> None:
        """positions: (slots,); the cache's capacity for an idle row. extent: more than the largest
        position in use; rounded up to a whole bucket.
        """
        self._cache, self._positions = cache, positions
        self._extent = min(cache.capacity, -(-extent // _BUCKET) * _BUCKET)
        self._rows = torch.arange(len(positions), device=positions.device)
        steps = torch.arange(self._extent, device=positions.device)
        self._visible = (steps <= positions[:, None])[:, None, None]  # (B, 1, 1, extent)

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """See `Memory`; T is 1."""
        stored_keys, stored_values = self._cache.keys[layer], self._cache.values[layer]
        device = stored_keys.device
        rows, positions = self._rows.to(device), self._positions.to(device)
        stored_keys[rows, :, positions] = keys[:, :, 0]
        stored_values[rows, :, positions] = values[:, :, 0]
        return F.scaled_dot_product_attention(
            queries,
            stored_keys[:, :, : self._extent],
            stored_values[:, :, : self._extent],
            self._visible.to(device),
            enable_gqa=queries.shape[1] != keys.shape[1],
        )
