"""The released pickles to safetensors, once; no pickle is read at run time.

Both are opened memory-mapped and with `weights_only`: nothing in them can run, and what is not kept
(the flow's optimizer copies are two thirds of its 19 GB) is never read. Files are written into a
folder beside their place and moved there at the end, the index last: what was interrupted does not
load.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from filelock import FileLock
from huggingface_hub import constants
from safetensors import SafetensorError
from torch import Tensor

from kimi_demo.checkpoint.layout import (
    CONFIG,
    FLOW_CONFIG,
    FLOW_FOLDER,
    PICKLE,
    VOCODER_FOLDER,
    Layout,
    has_safetensors,
)
from kimi_demo.checkpoint.writing import write
from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.loading import FLOW_PREFIX
from kimi_demo.model.files import INDEX

# One shard is all that may be in memory twice, where an older safetensors copies what it writes.
MAX_SHARD_BYTES = 256 * 2**20
_UNUSED = "resampler.kernel"
_log = logging.getLogger(__name__).warning  # seen where no log has been set up, too


@dataclass(frozen=True)
class _Part:
    """Where a released pickle keeps its weights.

    key: the entry at its top. prefix: of the names that are kept. config: what lies beside it.
    """

    folder: str
    config: str
    key: str
    prefix: str = ""


_FLOW = _Part(FLOW_FOLDER, FLOW_CONFIG, "state_dict", FLOW_PREFIX)
_VOCODER = _Part(VOCODER_FOLDER, CONFIG, "generator")


def default_cache() -> Path:
    """Where converted weights lie unless somebody chooses another place: beside the hub's cache."""
    return Path(constants.HF_HOME) / "kimi-demo"


def convert(
    source: Layout,
    destination: Path,
    report: Callable[[str], None] = _log,
    cache: Path | None = None,
) -> None:
    """Writes audio_detokenizer/ and vocoder/ of `source` into `destination` as safetensors, with
    their configurations; the checkpoint's own folder becomes complete in place. A part that is
    there already, or that `source` has as safetensors, is left as it is.

    cache: where the locks lie that keep two conversions apart.
    Raises: CheckpointError naming the pickle if it is refused or broken, or the place if it has no
    room; then the destination is as before.
    """
    parts = list(_unconverted(source))
    for folder, part in parts:
        _convert(folder, destination / part.folder, part, cache or default_cache(), report)
    if not parts:
        report(f"nothing to convert: all weights of {source.root.name} are safetensors")


def with_safetensors(
    layout: Layout, cache: Path | None = None, report: Callable[[str], None] = _log
) -> Layout:
    """The same checkpoint without pickles: what was converted before is found in the cache, the
    rest is converted into it. Several processes may start at once.

    Raises: CheckpointError as `convert`.
    """
    cache = cache or default_cache()
    places = {layout.flow: layout.flow, layout.vocoder: layout.vocoder}
    for folder, part in _unconverted(layout):
        places[folder] = cache / f"{part.folder}-{_fingerprint(folder, part)}"
        _convert(folder, places[folder], part, cache, report)
    return replace(layout, flow=places[layout.flow], vocoder=places[layout.vocoder])


def _unconverted(layout: Layout) -> Iterator[tuple[Path, _Part]]:
    parts = {layout.flow: _FLOW, layout.vocoder: _VOCODER}
    return ((folder, parts[folder]) for folder in layout.unconverted)


def _fingerprint(folder: Path, part: _Part) -> str:
    """Differs as soon as pickle or configuration do; a file of the hub's cache lies under its hash,
    and any other file is known by place, size and time."""
    weights = (folder / PICKLE).resolve()
    stat = weights.stat()
    known_by = f"{weights}\n{stat.st_size}\n{stat.st_mtime_ns}\n".encode()
    return hashlib.sha256(known_by + (folder / part.config).read_bytes()).hexdigest()[:16]


def _convert(
    source: Path, target: Path, part: _Part, locks: Path, report: Callable[[str], None]
) -> None:
    with _locked(target, locks):
        if has_safetensors(target):
            return
        kept = _kept_tensors(source / PICKLE, part)
        with partial_folder(target, _size(kept)) as partial:
            total, doing = _amount(_size(kept)), f"converting {_short(source / PICKLE)}"
            write(
                kept,
                partial,
                MAX_SHARD_BYTES,
                lambda written: report(f"{doing}: {_amount(written)} of {total}"),
            )
            report(f"{doing}: {total}, done")
            if target != source:
                shutil.copyfile(source / part.config, partial / part.config)
            _move(partial, target)


@contextmanager
def _locked(target: Path, locks: Path) -> Iterator[None]:
    """One conversion to the same place at a time; the others wait, and find its result."""
    name = hashlib.sha256(str(target.resolve()).encode()).hexdigest()[:16]
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{name}.lock")
        lock.acquire()
    except OSError as exc:
        raise CheckpointError(
            f"{locks} cannot be written to ({exc.strerror}): set HF_HOME to a folder that can"
        ) from exc
    try:
        yield
    finally:
        lock.release()


@contextmanager
def partial_folder(target: Path, size: int) -> Iterator[Path]:
    """A new folder beside `target`, gone afterwards; under the lock of `target`, so that one that
    is there is of a run that died.

    Raises: CheckpointError if `size` bytes find no room there, or writing fails.
    """
    partial = target.with_name(f".{target.name}.partial")
    new = [folder for folder in (target, *target.parents) if not folder.exists()]
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        free = shutil.disk_usage(partial).free
        if free < size:
            raise CheckpointError(_no_room(target, size, f"there are {_amount(free)}"))
        yield partial
    except (OSError, SafetensorError) as exc:
        raise CheckpointError(_no_room(target, size, str(exc))) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in new:
            with suppress(OSError):  # those that are not empty, or never came to be
                folder.rmdir()


def _kept_tensors(path: Path, part: _Part) -> dict[str, Tensor]:
    """Raises: CheckpointError if the pickle is no released one."""
    content = _opened(path)
    entries = content.get(part.key) if isinstance(content, Mapping) else None
    if not isinstance(entries, Mapping):
        raise CheckpointError(
            f"{_short(path)} has no {part.key!r} at its top: fetch the released file"
        )
    kept = {
        name: tensor
        for name, tensor in entries.items()
        if str(name).startswith(part.prefix) and not str(name).endswith(_UNUSED)
    }
    if not kept or not all(isinstance(tensor, Tensor) for tensor in kept.values()):
        wanted = f"{part.key}/{part.prefix}*"
        raise CheckpointError(
            f"{_short(path)} has no tensors under {wanted}: fetch the released file"
        )
    return kept


def _opened(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as exc:
        code = re.search(r"GLOBAL (\S+)", str(exc))
        what = f"wants to run {code[1]}" if code else "holds more than tensors"
        raise CheckpointError(
            f"{_short(path)} {what} and is refused: fetch the released file"
        ) from exc
    except Exception as exc:  # a damaged pickle raises whatever its bytes happen to mean
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise CheckpointError(
            f"{_short(path)} is cut off or broken ({reason}): delete it and fetch it again"
        ) from exc


def _move(partial: Path, target: Path) -> None:
    """The configuration first and the index last; without it the shards are not looked at."""
    target.mkdir(parents=True, exist_ok=True)
    (target / INDEX).unlink(missing_ok=True)
    files = sorted(partial.iterdir(), key=lambda f: (f.name == INDEX, f.suffix == ".safetensors"))
    for file in files:
        os.replace(file, target / file.name)


def _no_room(target: Path, size: int, reason: str) -> str:
    return (
        f"{target} cannot be written ({reason}): it needs {_amount(size)}; make room, or choose "
        "another place"
    )


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
