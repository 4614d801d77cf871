"""Options to engine: finds the files, plans where they go, loads a checkpoint once for all engines
over it that are open.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.conversion import with_safetensors
from kimi_demo.checkpoint.layout import Layout
from kimi_demo.checkpoint.parts import EmptyParts
from kimi_demo.checkpoint.placement import DeviceMap, Placement, as_device
from kimi_demo.checkpoint.planning import Memory, Precision, free_memory, plan
from kimi_demo.checkpoint.quantization import check_quantizable
from kimi_demo.engine import heap
from kimi_demo.engine.local import LocalEngine
from kimi_demo.errors import CheckpointError
from kimi_demo.options import ModelOptions

logger = logging.getLogger(__name__)

_open: WeakValueDictionary[ModelOptions, loading.Checkpoint] = WeakValueDictionary()
_loading = threading.Lock()


def create_engine(options: ModelOptions = ModelOptions()) -> LocalEngine:
    """An engine over the chosen checkpoint.

    Raises: CheckpointError if checkpoint or device do not exist, or the model does not fit.
    """
    share_cores(device_of(options), options.threads)
    with enough_memory(options):
        return LocalEngine(_shared(options), slots=options.slots)


def share_cores(device: torch.device, threads: int = 0) -> None:
    """On the CPU two threads compute at once, language model and detokenizer: each gets its share
    of the cores, or `threads` if that is not 0."""
    if device.type == "cpu":
        torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) // 2))


@contextmanager
def enough_memory(options: ModelOptions) -> Iterator[None]:
    """Raises: CheckpointError in place of what is raised where memory ends while a model loads."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as exc:
        raise CheckpointError(
            f"there is too little memory for {options.model} after all, something else uses it: "
            "free it, or choose --quantize, --offload or a smaller --max-memory"
        ) from exc


def _shared(options: ModelOptions) -> loading.Checkpoint:
    """The checkpoint of all engines that are open over it: whoever holds it last frees it."""
    with _loading:
        checkpoint = _open.get(options)
        if checkpoint is None:
            checkpoint = _open[options] = _loaded(options)
            heap.trim()  # what loading needed for a while
        return checkpoint


def _loaded(options: ModelOptions) -> loading.Checkpoint:
    named = (options.model, options.revision)
    configuration = locate.find_configuration(*named)
    placement = placement_of(options, configuration)  # it may not fit: before 40 GB come
    logger.info("%s is placed so:\n%s", options.model, placement.table())
    return loading.load(with_safetensors(locate.find(*named)), placement)


def placement_of(options: ModelOptions, layout: Layout) -> Placement:
    """Where each part goes. Raises: CheckpointError if it does not fit, or for a broken map."""
    device = device_of(options)
    quantization = None if options.quantize == "none" else options.quantize
    dtype = _dtype(options, device)
    if quantization:
        check_quantizable(quantization, device, dtype)
    if options.device_map != "auto":
        device_map = _read_map(Path(options.device_map))
        return Placement(device_map, device, device, device, dtype, quantization)
    offload = None if options.offload == "none" else options.offload
    precision = Precision(dtype, quantization)
    memory = _memory(options, device)
    return plan(EmptyParts.of(layout), memory, precision, offload, options.slots)


def device_of(options: ModelOptions) -> torch.device:
    """The device that is asked for; for "auto" a GPU if there is one.

    Raises: CheckpointError if it is not there.
    """
    if options.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(options.device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as exc:
        reason = str(exc).splitlines()[0]
        raise CheckpointError(
            f"there is no device {options.device!r} here ({reason}): use cpu"
        ) from exc
    return device


def _dtype(options: ModelOptions, device: torch.device) -> torch.dtype:
    if options.dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return getattr(torch, options.dtype)


def _memory(options: ModelOptions, device: torch.device) -> Memory:
    """What may be filled: what was allowed, or what is free on the devices that were asked for.

    Raises: CheckpointError for a GPU that is not there.
    """
    allowed = options.memory()
    known = range(torch.cuda.device_count())
    absent = [place for place in allowed if isinstance(place, int) and place not in known]
    if absent:
        raise CheckpointError(f"--max-memory: there is no GPU {absent[0]} here")
    return allowed or free_memory(options.device if device.type != "cpu" else "cpu")


def _read_map(path: Path) -> DeviceMap:
    """Module name to device, as accelerate's device maps."""
    try:
        device_map = json.loads(path.read_text(encoding="utf-8"))
        for place in device_map.values():
            if place != "disk":
                torch.empty(0, device=as_device(place))
    except (OSError, ValueError, AttributeError) as exc:
        raise CheckpointError(f"--device-map {path} cannot be read: {exc}") from exc
    except (RuntimeError, TypeError, AssertionError) as exc:
        reason = str(exc).splitlines()[0]
        raise CheckpointError(f"--device-map {path}: no device {place!r} here: {reason}") from exc
    return device_map
