"""What figures of speed mean nothing without: the devices, the versions, the commit."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

import torch

_PACKAGES = ("torch", "torchao", "transformers", "accelerate", "safetensors", "numpy")
_REPOSITORY = Path(__file__).parents[3]


def versions() -> dict[str, str | None]:
    """Of Python, CUDA and the packages that compute; None where there is none."""
    return {
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        **{name: _version(name) for name in _PACKAGES},
    }


def device_names(devices: Iterable[torch.device]) -> dict[str, str]:
    """What each device is called by its maker."""
    return {str(device): _name(device) for device in devices}


def commit(repository: Path = _REPOSITORY) -> str | None:
    """The commit of the source that runs; None outside a repository, or without git."""
    if not (repository / ".git").exists():
        return None
    asked = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu()


def _cpu() -> str:
    """Linux tells the model in a file of its own only."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())
