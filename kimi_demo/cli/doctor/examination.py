"""Whether a start would succeed, told without one: machine, sizes, places, files, downloads."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from kimi_demo.checkpoint import hub, locate
from kimi_demo.checkpoint.conversion import default_cache
from kimi_demo.checkpoint.inspection import learned_values, stored_tensors
from kimi_demo.checkpoint.layout import PICKLE, Layout
from kimi_demo.checkpoint.parts import EmptyParts
from kimi_demo.checkpoint.placement import GIB
from kimi_demo.checkpoint.released import RELEASED, write_configuration
from kimi_demo.engine.factory import device_of, placement_of
from kimi_demo.errors import CheckpointError, KimiError
from kimi_demo.options import ModelOptions

_PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "huggingface_hub", "gradio")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ok: whether a start may go on in spite of it.

    figures: the same for programs, where there are any.
    """

    topic: str
    text: str
    ok: bool = True
    figures: Mapping[str, object] = field(default_factory=dict)


def examine(options: ModelOptions) -> Iterator[Finding]:
    """Looks at everything that a start with these options needs; loads nothing, and of what is not
    here yet fetches only the configurations, of the release not even those."""
    yield from _machine()
    try:
        yield Finding("device", str(device_of(options)))
        with _described(options) as layout:
            yield from _sizes(options, EmptyParts.of(layout))
            yield _plan(options, layout)
        named = (options.model, options.revision)
        waiting = locate.pending_downloads(*named)
        yield from _downloads(waiting) if waiting else _files(locate.find(*named))
    except KimiError as exc:
        yield Finding("model", str(exc), ok=False)


def _machine() -> Iterator[Finding]:
    yield Finding("python", platform.python_version())
    versions = (f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    yield Finding("packages", ", ".join(versions))
    yield Finding("CUDA", _cuda())
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield Finding(f"GPU {index}", f"{name}, {_gib(free)} of {_gib(total)} GiB free")


def _cuda() -> str:
    if not torch.cuda.is_available():
        built = f"built for {torch.version.cuda}" if torch.version.cuda else "a build for the CPU"
        return f"not available (torch is {built}): the model computes on the CPU"
    return f"{torch.version.cuda}, driver {_driver() or 'unknown'}"


def _driver() -> str:
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    return told.stdout.splitlines()[0].strip() if told.stdout else ""


def _is_release(options: ModelOptions) -> bool:
    return options.model == hub.RELEASE and options.revision is None


@contextmanager
def _described(options: ModelOptions) -> Iterator[Layout]:
    """The configurations. Those of the release are known here: nothing is fetched for it."""
    if not _is_release(options):
        yield locate.find_configuration(options.model, options.revision)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield write_configuration(RELEASED, Path(folder) / "released")


def _sizes(options: ModelOptions, parts: EmptyParts) -> Iterator[Finding]:
    sizes = learned_values(parts)
    for name, size in sizes.items():
        yield Finding(name, f"{size:,} parameters", figures={"parameters": size})
    if _is_release(options):
        published = RELEASED.published_values
        text = f"{published:,} in the language model as published, with its rotary tables"
        yield Finding("parameters", text, figures={"parameters": published})
    total = sum(sizes.values())
    yield Finding("parameters", f"{total:,} in all", figures={"parameters": total})


def _plan(options: ModelOptions, layout: Layout) -> Finding:
    try:
        placement = placement_of(options, layout)
    except CheckpointError as exc:
        return Finding("memory plan", str(exc), ok=False)
    rows = [{"what": r.group, "place": r.place, "bytes": r.num_bytes} for r in placement.rows]
    return Finding("memory plan", placement.table(), figures={"rows": rows})


def _files(layout: Layout) -> Iterator[Finding]:
    for name, tensors in stored_tensors(layout):
        text = "still a pickle" if tensors is None else f"{tensors} tensors, all fit"
        yield Finding("files", f"{name}: {text}", figures={"tensors": tensors})
    needed = sum((folder / PICKLE).stat().st_size for folder in layout.unconverted)
    if needed:
        names = " and ".join(f"{folder.name}/{PICKLE}" for folder in layout.unconverted)
        text = f"{names}, {_gib(needed)} GiB, will be converted once, into {default_cache()}"
        yield Finding("conversion", text)
        yield _disk(default_cache(), needed)


def _downloads(waiting: list[hub.Download]) -> Iterator[Finding]:
    total = sum(file.num_bytes for file in waiting)
    for file in waiting:
        yield Finding("download", f"{file.repo}: {file.name}, {_gib(file.num_bytes)} GiB")
    text = f"{len(waiting)} files, {_gib(total)} GiB in all"
    yield Finding("download", text, figures={"bytes": total})
    yield _disk(hub.cache_folder(), total)


def _disk(folder: Path, needed: int) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{_gib(free)} GiB free in {there}"
    return Finding("disk", text if free >= needed else f"{text}, too little", ok=free >= needed)


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f}"
