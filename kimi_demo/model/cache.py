"""Keys and values of B slots, allocated once; a request owns one slot from prefill to its end.

Each layer's memory lies on the device where that layer computes.
Axes: L layers, B slots, H key-value heads, S positions, T new positions, E head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BUCKET = 128  # attention reads whole buckets of positions, so that few shapes ever occur


class SlotCache:
    """Fixed memory for the attention of all slots. keys, values: (B, H, S, E) of each layer."""

    def __init__(
        self,
        devices: Sequence[torch.device],
        slots: int,
        heads: int,
        positions: int,
        head_size: int,
        dtype: torch.dtype,
    ) -> None:
        """devices: of each layer."""
        shape = (slots, heads, positions, head_size)
        self.keys = tuple(torch.zeros(shape, device=device, dtype=dtype) for device in devices)
        self.values = tuple(torch.zeros(shape, device=device, dtype=dtype) for device in devices)

    @property
    def num_slots(self) -> int:
        return self.keys[0].shape[0]

    @property
    def capacity(self) -> int:
        """Positions a slot can hold."""
        return self.keys[0].shape[2]

    def view(self, positions: Tensor, extent: int, slot: int | None = None) -> CacheView:
        """Where one forward pass reads and writes.

        positions: (B, T) of the new keys, in one slot (B = 1) or in all of them.
        extent: how many positions attention reads, rounded up to a whole bucket.
        """
        rounded = min(self.capacity, -(-extent // _BUCKET) * _BUCKET)
        if slot is None:
            return CacheView(self.keys, self.values, positions, rounded)
        keys = [layer[slot : slot + 1] for layer in self.keys]
        values = [layer[slot : slot + 1] for layer in self.values]
        return CacheView(keys, values, positions, rounded)


class CacheView:
    """What transformers' attention calls: stores new keys, returns all that may be seen."""

    def __init__(
        self, keys: Sequence[Tensor], values: Sequence[Tensor], positions: Tensor, extent: int
    ) -> None:
        self._keys, self._values = keys, values
        self._positions = positions
        rows = torch.arange(len(positions), device=positions.device)[:, None]
        self._places = {
            device: (rows.to(device), positions.to(device))
            for device in {layer.device for layer in keys}
        }
        self.extent = extent

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """keys, values: (B, H, T, E) at this view's positions -> (B, H, extent, E) of the layer."""
        stored_keys, stored_values = self._keys[layer], self._values[layer]
        rows, positions = self._places[stored_keys.device]
        stored_keys[rows, :, positions] = keys.transpose(1, 2)
        stored_values[rows, :, positions] = values.transpose(1, 2)
        return stored_keys[:, :, : self.extent], stored_values[:, :, : self.extent]

    def visible(self) -> Tensor:
        """(B, 1, T, extent) bool: a position sees itself and everything before it."""
        steps = torch.arange(self.extent, device=self._positions.device)
        return (steps <= self._positions[..., None])[:, None]
