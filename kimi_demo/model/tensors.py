"""Tensors in safetensors files: listed without being read, compared with a module, then read one by
one onto the device where they belong.

A folder holds `model.safetensors`, or shards and the index that names them, however they are
numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from kimi_demo.errors import CheckpointError
from kimi_demo.model.files import files_in


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file, not read yet."""

    file: Path
    name: str
    shape: tuple[int, ...]

    def read(self, device: torch.device | str = "cpu") -> Tensor:
        """Raises: CheckpointError if the file has become unreadable."""
        try:
            with safe_open(self.file, framework="pt", device=str(device)) as tensors:
                return tensors.get_tensor(self.name)
        except (OSError, SafetensorError) as exc:
            raise _unreadable(self.file, exc) from exc


@contextmanager
def empty_modules() -> Generator[None]:
    """Modules made meanwhile lie on the meta device and are not initialised: drawing values there
    would import torch's compiler, 100 MB and a second or two.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Functions of `torch.nn.init` leave their tensor as it is."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", "") == nn.init.__name__:
            return kwargs["tensor"] if kwargs else args[0]
        return func(*args, **(kwargs or {}))


# All tensors of a folder, by name without a prefix: `stored_in` lists those of its files.
TensorSource = Callable[[Path, str], dict[str, StoredTensor]]


def stored_in(folder: Path, prefix: str = "") -> dict[str, StoredTensor]:
    """Everything that the folder's files hold, by name; `prefix` is taken off where a name has it.

    Raises: CheckpointError if a file is missing, cut off or of another kind, or if two hold the
    same tensor.
    """
    found: dict[str, StoredTensor] = {}
    for file in files_in(folder):
        for stored in _listed(file):
            name = stored.name.removeprefix(prefix)
            if name in found:
                place, other = f"{folder.name}/{file.name}", found[name].file.name
                raise CheckpointError(f"{place}: the tensor {stored.name} is in {other}, too")
            found[name] = stored
    return found


def _listed(file: Path) -> list[StoredTensor]:
    try:
        with safe_open(file, framework="pt") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as exc:
        raise _unreadable(file, exc) from exc
    return [StoredTensor(file, name, tuple(shape)) for name, shape in shapes.items()]


def _unreadable(file: Path, exc: Exception) -> CheckpointError:
    place = f"{file.parent.name}/{file.name}"
    if not file.exists():
        return CheckpointError(f"{place} is missing: fetch it again")
    return CheckpointError(f"{place} is cut off or broken ({exc}): delete it and fetch it again")


def require_same_layout(
    expected: Mapping[str, Tensor], given: Mapping[str, StoredTensor], folder: Path
) -> None:
    """Raises: CheckpointError naming file and tensor of the first misfit, and how many follow."""
    misfits = [
        f"{folder.name}: the tensor {name} is missing" for name in expected if name not in given
    ]
    for name, stored in given.items():
        place = f"{folder.name}/{stored.file.name}: the tensor {stored.name}"
        if name not in expected:
            misfits.append(f"{place} is not part of this model")
        elif stored.shape != tuple(expected[name].shape):
            shapes = f"{list(stored.shape)} instead of {list(expected[name].shape)}"
            misfits.append(f"{place} has the shape {shapes}")
    if misfits:
        more = f" ({len(misfits) - 1} more do not fit)" if misfits[1:] else ""
        raise CheckpointError(misfits[0] + more)


def fill(
    module: nn.Module,
    given: Mapping[str, StoredTensor],
    folder: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    computed: Mapping[str, Tensor] | None = None,
) -> None:
    """Fills a module, which may be on the meta device, with exactly these tensors.

    dtype: of the values; None keeps the module's own, whatever the file has.
    computed: values that the file leaves out because a formula gives them.
    Raises: CheckpointError, before anything is read, if they do not fit.
    """
    computed = computed or {}
    own = {name: tensor for name, tensor in module.state_dict().items() if name not in computed}
    require_same_layout(own, given, folder)
    values = {
        name: stored.read(device).to(dtype or own[name].dtype) for name, stored in given.items()
    }
    fixed = {name: tensor.to(device, dtype) for name, tensor in computed.items()}
    module.load_state_dict(values | fixed, assign=True)
