"""From the name of a checkpoint to its files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from kimi_demo.checkpoint import hub
from kimi_demo.checkpoint.layout import CONFIG, Layout
from kimi_demo.errors import CheckpointError

EMBEDDED = "nano"
EMBEDDED_FOLDER = Path(__file__).parents[1] / "weights" / "nano"
_log = logging.getLogger(__name__).warning  # seen where no log has been set up, too
_BASE = "kimi-audio-7b"  # "-Instruct" is what makes it answer


def find(model: str, revision: str | None = None, report: Callable[[str], None] = _log) -> Layout:
    """The files of `nano`, of a local checkpoint or of one on the hub, `owner/name`.

    revision: of a hub id; None takes the pinned one. report: hears of downloads and doubts.
    Raises: CheckpointError if there is no such checkpoint, or files of it are missing.
    """
    check(model, revision)
    folder, on_hub = _folder(model), is_on_hub(model)
    _warn_of_base(model if on_hub else folder.resolve().name, report)
    return hub.download(model, revision, report) if on_hub else Layout.of(folder)


def check(model: str, revision: str | None = None) -> None:
    """Looks at the name alone. Raises: CheckpointError if it is that of no checkpoint."""
    if is_on_hub(model):
        return
    if not (_folder(model) / CONFIG).is_file():
        raise CheckpointError(
            f"there is no checkpoint {model!r}: use nano, or a folder with a config.json"
        )
    if revision:
        raise CheckpointError(f"{model} is a folder and has no revisions: leave the revision out")


def find_configuration(
    model: str, revision: str | None = None, report: Callable[[str], None] = _log
) -> Layout:
    """As `find`, but of the hub's files only the configurations are sure to be there."""
    if is_on_hub(model):
        return hub.download_configuration(model, revision, report)
    return find(model, revision, report)


def pending_downloads(model: str, revision: str | None = None) -> list[hub.Download]:
    """What `find` would have to fetch first. Raises: CheckpointError as `find`."""
    return hub.pending(model, revision) if is_on_hub(model) else []


def is_on_hub(model: str) -> bool:
    return not _folder(model).exists() and hub.is_hub_id(model)


def _folder(model: str) -> Path:
    return EMBEDDED_FOLDER if model == EMBEDDED else Path(model)


def _warn_of_base(name: str, report: Callable[[str], None]) -> None:
    plain = name.lower()
    if _BASE in plain and "instruct" not in plain:
        report(f"{name} is a base checkpoint, which cannot chat: use {hub.RELEASE}")
