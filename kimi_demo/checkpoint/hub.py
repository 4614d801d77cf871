"""Checkpoints of the hub: what is needed of a repository, at a pinned revision, in the hub's cache.

Cache, progress bars, resuming and HF_HUB_OFFLINE, HF_HOME, HF_ENDPOINT, HF_TOKEN are the hub
library's own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # the one that is raised
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import DryRunFileInfo, repo_folder_name

from kimi_demo.checkpoint.layout import (
    ACOUSTIC_FOLDER,
    CONFIG,
    FLOW_CONFIG,
    FLOW_FOLDER,
    PICKLE,
    SPEECH_TOKENIZER_FOLDER,
    TEXT_TOKENIZER,
    VOCODER_FOLDER,
    Layout,
    has_safetensors,
)
from kimi_demo.errors import CheckpointError

RELEASE = "moonshotai/Kimi-Audio-7B-Instruct"
# Revisions that this code is known to fit.
PINNED = {RELEASE: "9a82a84c37ad9eb1307fb6ed8d7b397862ef9e6b"}
SPEECH_TOKENIZER = "THUDM/glm-4-voice-tokenizer"
SPEECH_TOKENIZER_REVISION = "main"  # no revision of it is on record that could be pinned
ANY_REVISION = "main"

_PREPROCESSOR = "preprocessor_config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
_ENCODER = (CONFIG, _PREPROCESSOR, *_WEIGHTS)
_NEEDED: dict[str, tuple[str, ...]] = {
    "": (CONFIG, TEXT_TOKENIZER, "tokenizer_config.json", *_WEIGHTS),
    ACOUSTIC_FOLDER: _ENCODER,
    SPEECH_TOKENIZER_FOLDER: _ENCODER,
    FLOW_FOLDER: (FLOW_CONFIG, *_WEIGHTS),
    VOCODER_FOLDER: (CONFIG, *_WEIGHTS),
}
_CONFIGURATIONS = (CONFIG, FLOW_CONFIG, _PREPROCESSOR)
_DESCRIPTIONS = ("tasks.json", "checkpoint.json", "CARD.md")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Download:
    """A file that is not in the cache yet. name: its path in the repository."""

    repo: str
    name: str
    num_bytes: int


def is_hub_id(name: str) -> bool:
    return _HUB_ID.fullmatch(name) is not None


def download(repo: str, revision: str | None, report: Callable[[str], None]) -> Layout:
    """The files of a checkpoint, from the hub's cache or, where they are not in it, from the hub.

    revision: a branch, a tag or a commit; None takes the pinned one.
    Raises: CheckpointError if the repository or the network cannot be reached, or it lacks files.
    """
    revision = revision or _usual_revision(repo)
    folder = _fetch(repo, revision, _needed_patterns(), report)
    pickles = [
        f"{part}/{PICKLE}"
        for part in (FLOW_FOLDER, VOCODER_FOLDER)
        if not has_safetensors(folder / part)
    ]
    if pickles:  # 20 GB that a converted repository spares its users
        _fetch(repo, folder.name, pickles, report)
    speech_tokenizer = folder / SPEECH_TOKENIZER_FOLDER
    if not speech_tokenizer.is_dir():
        speech_tokenizer = _fetch(SPEECH_TOKENIZER, SPEECH_TOKENIZER_REVISION, _ENCODER, report)
    return Layout.of(folder, speech_tokenizer)


def download_configuration(
    repo: str, revision: str | None, report: Callable[[str], None]
) -> Layout:
    """The checkpoint's configurations alone, a few kB: enough to plan before 40 GB are fetched.

    Raises: CheckpointError as `download`.
    """
    revision = revision or _usual_revision(repo)
    folder = _fetch(repo, revision, [*_CONFIGURATIONS, *_within(_CONFIGURATIONS)], report)
    speech_tokenizer = folder / SPEECH_TOKENIZER_FOLDER
    if not speech_tokenizer.is_dir():
        speech_tokenizer = _fetch(
            SPEECH_TOKENIZER, SPEECH_TOKENIZER_REVISION, _CONFIGURATIONS, report
        )
    return Layout(
        folder,
        folder / ACOUSTIC_FOLDER,
        speech_tokenizer,
        folder / FLOW_FOLDER,
        folder / VOCODER_FOLDER,
    )


def pending(repo: str, revision: str | None) -> list[Download]:
    """What `download` would fetch; nothing where HF_HUB_OFFLINE forbids to ask.

    Raises: CheckpointError as `download`.
    """
    if constants.HF_HUB_OFFLINE:
        return []
    pickles = [f"{part}/{PICKLE}" for part in (FLOW_FOLDER, VOCODER_FOLDER)]
    revision = revision or _usual_revision(repo)
    files = _listed(repo, revision, [*_needed_patterns(), *pickles])
    folders = {
        file.filename.rpartition("/")[0] for file in files if file.filename.endswith(".safetensors")
    }
    converted = [name for name in pickles if name.rpartition("/")[0] in folders]
    found = [(repo, file) for file in files if file.filename not in converted]
    if SPEECH_TOKENIZER_FOLDER not in folders:
        others = _listed(SPEECH_TOKENIZER, SPEECH_TOKENIZER_REVISION, _ENCODER)
        found += [(SPEECH_TOKENIZER, file) for file in others]
    return [
        Download(of, file.filename, file.file_size or 0) for of, file in found if file.will_download
    ]


def _usual_revision(repo: str) -> str:
    return PINNED.get(repo, ANY_REVISION)


def _within(names: Sequence[str]) -> list[str]:
    return [f"{part}/{name}" for part in _NEEDED if part for name in names]


def cache_folder() -> Path:
    return Path(constants.HF_HUB_CACHE)


def _listed(repo: str, revision: str, patterns: Sequence[str]) -> list[DryRunFileInfo]:
    try:
        return snapshot_download(
            repo, revision=revision, allow_patterns=list(patterns), dry_run=True
        )
    except (OSError, HTTPError, ValueError) as exc:
        raise CheckpointError(_reason(exc, repo, revision)) from exc


def _needed_patterns() -> list[str]:
    files = [
        f"{folder}/{name}" if folder else name
        for folder, names in _NEEDED.items()
        for name in names
    ]
    return [*files, *_DESCRIPTIONS]


def _fetch(
    repo: str, revision: str, patterns: Sequence[str], report: Callable[[str], None]
) -> Path:
    """The folder of this commit in the hub's cache, with the files that the patterns name."""
    blobs = cache_folder() / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
    before = {blob.name for blob in blobs.iterdir()} if blobs.is_dir() else set()
    report(f"looking for {repo} at {revision[:12]}")
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except (OSError, HTTPError, ValueError) as exc:
        raise CheckpointError(_reason(exc, repo, revision)) from exc
    _verify(folder, before)
    return folder


def _verify(folder: Path, known: Collection[str]) -> None:
    """Compares what has just arrived with its hash, which is its name in the cache; the hub's
    library looks at sizes alone.

    Raises: CheckpointError naming a damaged file, which is deleted.
    """
    for file in folder.rglob("*"):
        blob = file.resolve()
        if not file.is_file() or blob.name in known or not _SHA256.fullmatch(blob.name):
            continue
        with blob.open("rb") as content:
            whole = hashlib.file_digest(content, "sha256").hexdigest() == blob.name
        if not whole:
            file.unlink()
            blob.unlink(missing_ok=True)
            place = file.relative_to(folder)
            raise CheckpointError(f"{place} arrived damaged and is deleted: start again")


def _reason(exc: Exception, repo: str, revision: str) -> str:
    if isinstance(exc, DryRunError):
        return f"{repo} cannot be asked for: check the name and the network"
    if isinstance(exc, GatedRepoError):
        return f"{repo} is gated: accept its terms on its page, then set HF_TOKEN"
    if isinstance(exc, RepositoryNotFoundError):
        return (
            f"there is no checkpoint {repo!r}, neither a folder nor on the hub: correct the name, "
            "or set HF_TOKEN if it is private"
        )
    if isinstance(exc, RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}: give another one, or none"
    if isinstance(exc, LocalEntryNotFoundError) and constants.HF_HUB_OFFLINE:
        return f"{repo} is not wholly in the cache: unset HF_HUB_OFFLINE once to fetch it"
    if isinstance(exc, LocalEntryNotFoundError):
        return f"{repo} is not in the cache and the hub cannot be reached: check the network"
    if isinstance(exc, OSError) and exc.errno == ENOSPC:
        return f"no room for {repo} in {constants.HF_HUB_CACHE}: make some, or set HF_HOME"
    reason = (str(exc).splitlines() or [type(exc).__name__])[0]
    return f"{repo} cannot be fetched ({reason}): start again, what has arrived is kept"
