"""Where each part of the model computes, and in which precision. `planning` decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from kimi_demo.errors import CheckpointError

Place = str | int  # of a module, as in accelerate's device maps: a GPU's index, "cpu", "disk" ...
DeviceMap = Mapping[str, Place]  # module name to place; "" is the whole model
Quantization = Literal["int8", "int4"]

OFFLOADED = ("cpu", "disk")  # weights lie there and compute on the main device
GIB = 1 << 30


@dataclass(frozen=True)
class PlanRow:
    group: str
    place: Place
    num_bytes: int


@dataclass(frozen=True)
class Placement:
    """speech_tokenizer: computes in float32 always, since its ids hang on small differences.

    detokenizer: flow and vocoder. quantization: of the language model's linear layers.
    rows: the memory plan behind this placement, if one was made.
    """

    language_model: DeviceMap
    speech_tokenizer: torch.device
    acoustic_encoder: torch.device
    detokenizer: torch.device
    dtype: torch.dtype
    quantization: Quantization | None = None
    rows: tuple[PlanRow, ...] = ()

    @classmethod
    def on(
        cls,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
        quantization: Quantization | None = None,
    ) -> Placement:
        whole = torch.device(device)
        return cls({"": str(whole)}, whole, whole, whole, dtype, quantization)

    def table(self) -> str:
        """The memory plan: a line for each row, then the sum of each device."""
        lines = [(row.group, place_name(row.place), _gib(row.num_bytes)) for row in self.rows]
        for place in dict.fromkeys(row.place for row in self.rows):
            total = sum(row.num_bytes for row in self.rows if row.place == place)
            lines.append(("sum", place_name(place), _gib(total)))
        table = [("what", "device", "GiB"), *lines]
        first, second, third = (max(map(len, column)) for column in zip(*table, strict=True))
        return "\n".join(f"{a:<{first}}  {b:<{second}}  {c:>{third}}" for a, b, c in table)


def place_name(place: Place) -> str:
    return f"GPU {place}" if isinstance(place, int) else place


def as_device(place: Place) -> torch.device:
    """The device of a place that has one."""
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)


def main_place(device_map: DeviceMap) -> Place:
    """Where modules compute that lie in main memory or on disk: the map's first GPU, if any."""
    return next((place for place in device_map.values() if place not in OFFLOADED), "cpu")


def main_device(device_map: DeviceMap) -> torch.device:
    return as_device(main_place(device_map))


def execution_device(device_map: DeviceMap, module: str) -> torch.device:
    place = place_of(device_map, module)
    return main_device(device_map) if place in OFFLOADED else as_device(place)


def place_of(device_map: DeviceMap, name: str) -> Place:
    """Where a module or tensor lies: what the map says of the smallest module around it.

    Raises: CheckpointError if it says nothing of any.
    """
    around = name
    while around and around not in device_map:
        around = around.rpartition(".")[0]
    if around not in device_map:
        raise CheckpointError(f'the device map leaves out {name}: add it, or "" for all the rest')
    return device_map[around]


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """The members of its stacks by name, in their order. Each lies on one device."""
    stacks = {name: m for name, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    return {f"{at}.{n}": layer for at, stack in stacks.items() for n, layer in enumerate(stack)}


def unsplit_modules(model: nn.Module) -> list[str]:
    """Layers, and whatever else holds tensors: all that a device map of accelerate's must name."""
    layers = layers_of(model)
    inside = tuple(f"{layer}." for layer in layers)
    return [
        name
        for name, module in model.named_modules()
        if name in layers
        or (not name.startswith(inside) and any(True for _ in module.parameters(recurse=False)))
    ]


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f}"
