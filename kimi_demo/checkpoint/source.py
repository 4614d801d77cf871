"""From the name of a checkpoint to its files."""

from __future__ import annotations

from pathlib import Path

from kimi_demo.checkpoint.layout import CONFIG, Layout
from kimi_demo.errors import CheckpointError

EMBEDDED = "nano"
EMBEDDED_FOLDER = Path(__file__).parents[1] / "nano" / "weights"


def find(model: str) -> Layout:
    """The files of `nano` or of a local checkpoint.

    Raises: CheckpointError if there is no such checkpoint, or files of it are missing.
    """
    folder = EMBEDDED_FOLDER if model == EMBEDDED else Path(model)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"there is no checkpoint {model!r}: use nano, or a folder with a config.json"
        )
    return Layout.of(folder)
