"""Options to engine: decides device and precision once, and loads a checkpoint only once."""

from __future__ import annotations

import os
from functools import lru_cache

import torch

from kimi_demo.checkpoint import loading, source
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.engine.local import LocalEngine
from kimi_demo.errors import CheckpointError
from kimi_demo.options import ModelOptions


def create_engine(options: ModelOptions = ModelOptions()) -> LocalEngine:
    """An engine over the chosen checkpoint.

    Raises: CheckpointError if the checkpoint or the device does not exist.
    """
    chosen = _device(options.device)
    if chosen.type == "cpu":
        # Two threads compute at once, language model and detokenizer: each gets its share of cores.
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    return LocalEngine(_loaded(options.model, chosen))


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
