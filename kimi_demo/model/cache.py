"""Keys and values of B slots, allocated once; a request owns one slot from prefill to its end.

Axes: L layers, B slots, H key-value heads, S positions, T new positions, E head size.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BUCKET = 128  # attention reads whole buckets of positions, so that few shapes ever occur


class SlotCache:
    """Fixed memory for the attention of all slots."""

    def __init__(
        self,
        layers: int,
        slots: int,
        heads: int,
        positions: int,
        head_size: int,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> None:
        shape = (layers, slots, heads, positions, head_size)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)

    @property
    def num_slots(self) -> int:
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        """Positions a slot can hold."""
        return self.keys.shape[3]

    def view(self, positions: Tensor, extent: int, slot: int | None = None) -> CacheView:
        """Where one forward pass reads and writes.

        positions: (B, T) of the new keys, in one slot (B = 1) or in all of them.
        extent: how many positions attention reads, rounded up to a whole bucket.
        """
        rows = slice(None) if slot is None else slice(slot, slot + 1)
        rounded = min(self.capacity, -(-extent // _BUCKET) * _BUCKET)
        return CacheView(self.keys[:, rows], self.values[:, rows], positions, rounded)


class CacheView:
    """What transformers' attention calls: stores new keys, returns all that may be seen."""

    def __init__(self, keys: Tensor, values: Tensor, positions: Tensor, extent: int) -> None:
        self._keys, self._values = keys, values
        self._positions = positions
        self._rows = torch.arange(keys.shape[1], device=keys.device)[:, None]
        self.extent = extent

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """keys, values: (B, H, T, E) at this view's positions -> (B, H, extent, E) of the layer."""
        stored_keys, stored_values = self._keys[layer], self._values[layer]
        stored_keys[self._rows, :, self._positions] = keys.transpose(1, 2)
        stored_values[self._rows, :, self._positions] = values.transpose(1, 2)
        return stored_keys[:, :, : self.extent], stored_values[:, :, : self.extent]

    def visible(self) -> Tensor:
        """(B, 1, T, extent) bool: a position sees itself and everything before it."""
        steps = torch.arange(self.extent, device=self._positions.device)
        return (steps <= self._positions[..., None])[:, None]
