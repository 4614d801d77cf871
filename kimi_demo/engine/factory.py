"""Settings to engine: decides device and precision once, and loads a checkpoint only once."""

from __future__ import annotations

import os
from functools import lru_cache

import torch

from kimi_demo.checkpoint import loading, source
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.engine.local import LocalEngine
from kimi_demo.errors import CheckpointError


def create_engine(model: str = source.EMBEDDED, device: str = "auto") -> LocalEngine:
    """An engine over the named checkpoint.

    model: "nano" or a folder. device: "auto" takes CUDA if there is one, else the CPU.
    Raises: CheckpointError if the checkpoint or the device does not exist.
    """
    chosen = _device(device)
    if chosen.type == "cpu":
        # Two threads compute at once, language model and detokenizer: each gets its share of cores.
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    return LocalEngine(_loaded(model, chosen))


@lru_cache(maxsize=1)
def _loaded(model: str, device: torch.device) -> loading.Checkpoint:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return loading.load(source.find(model), Placement.on(device, dtype))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as exc:
        reason = str(exc).splitlines()[0]
        raise CheckpointError(f"there is no device {name!r} here ({reason}): use cpu") from exc
    return device
