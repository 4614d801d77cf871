"""Where each part of the model computes, and in which precision. `planning` decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from kimi_demo.errors import CheckpointError

Place = str | int  # of a module, as in accelerate's device maps: a GPU's index, "cpu", "disk" ...
DeviceMap = Mapping[str, Place]  # module name to place; "" is the whole model
Quantization = Literal["int8", "int4"]

OFFLOADED = ("cpu", "disk")  # weights lie there and compute on the main device
GIB = 1 << 30


@dataclass(frozen=True)
class Row:
    """One line of the memory plan."""

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
    rows: tuple[Row, ...] = ()

    @classmethod
    def on(
        cls,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
        quantization: Quantization | None = None,
    ) -> Placement:
        """Everything on one device."""
        whole = torch.device(device)
        return cls({"": str(whole)}, whole, whole, whole, dtype, quantization)

    @property
    def main_device(self) -> torch.device:
        """Where the language model's inputs go."""
        return execution_device(self.language_model, next(iter(self.language_model)))

    def table(self) -> str:
        """The memory plan, a line for each group of modules: group, device, GiB; then the sums."""
        lines = [(row.group, place_name(row.place), _gib(row.num_bytes)) for row in self.rows]
        for place in dict.fromkeys(row.place for row in self.rows):
            total = sum(row.num_bytes for row in self.rows if row.place == place)
            lines.append(("sum", place_name(place), _gib(total)))
        table = [("module group", "device", "GiB"), *lines]
        first, second, third = (max(map(len, column)) for column in zip(*table, strict=True))
        return "\n".join(f"{a:<{first}}  {b:<{second}}  {c:>{third}}" for a, b, c in table)


def place_name(place: Place) -> str:
    """As users read it."""
    return f"GPU {place}" if isinstance(place, int) else place


def as_device(place: Place) -> torch.device:
    """The device of a place that has one."""
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)


def main_device(device_map: DeviceMap) -> torch.device:
    """Where modules compute that lie in main memory or on disk: the map's first GPU, if any."""
    places = [place for place in device_map.values() if place not in OFFLOADED]
    return as_device(places[0] if places else "cpu")


def execution_device(device_map: DeviceMap, module: str) -> torch.device:
    """Where a module of the map, or one inside such a module, computes."""
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


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f}"
