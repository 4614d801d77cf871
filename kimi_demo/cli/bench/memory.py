"""Memory as planned and as used."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch

from kimi_demo.checkpoint.placement import OFFLOADED, Place, Placement, as_device, main_device


def devices_of(placement: Placement) -> list[torch.device]:
    """Where anything computes, each device once."""
    named = [as_device(p) for p in placement.language_model.values() if p not in OFFLOADED]
    speech = (placement.speech_tokenizer, placement.acoustic_encoder, placement.detokenizer)
    every = (main_device(placement.language_model), *named, *speech)
    return list(dict.fromkeys(_with_index(device) for device in every))


def planned(placement: Placement) -> list[dict[str, object]]:
    """The rows of the memory plan; none if the map was made by hand."""
    return [
        {"group": row.group, "device": _named(row.place), "bytes": row.num_bytes}
        for row in placement.rows
    ]


def forget_peaks(devices: Iterable[torch.device]) -> None:
    """What is used from here on counts."""
    for device in _gpus(devices):
        torch.cuda.init()  # a plan by --max-memory has not touched the GPU yet
        torch.cuda.reset_peak_memory_stats(device)


def peaks(devices: Iterable[torch.device]) -> list[dict[str, object]]:
    """The most that tensors took on each GPU, and that was kept for them, in bytes."""
    return [
        {
            "device": str(device),
            "allocated_bytes": torch.cuda.max_memory_allocated(device),
            "reserved_bytes": torch.cuda.max_memory_reserved(device),
        }
        for device in _gpus(devices)
    ]


def peak_resident_bytes() -> int:
    """The most main memory that this process has ever held."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _named(place: Place) -> str:
    """As its device is called in the other figures."""
    return str(as_device(place)) if isinstance(place, int) else place


def _gpus(devices: Iterable[torch.device]) -> list[torch.device]:
    return [device for device in devices if device.type == "cuda"]


def _with_index(device: torch.device) -> torch.device:
    """ "cuda" is the current GPU, and that has a number."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device
