"""Which files hold the tensors of a folder; told without torch."""

from __future__ import annotations

import json
from pathlib import Path

from kimi_demo.errors import CheckpointError

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def files_in(folder: Path) -> list[Path]:
    """The folder's files, whether they exist or not.

    Raises: CheckpointError for a broken index.
    """
    index = folder / INDEX
    if not index.exists():
        return [folder / FILE]
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return [folder / name for name in dict.fromkeys(names)]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as exc:
        raise CheckpointError(f"{folder.name}/{INDEX} is broken: {exc}: fetch it again") from exc
