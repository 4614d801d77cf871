"""Examples that lie beside the package in `examples/`; a tab without any shows none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def sentences(languages: Iterable[str], folder: Path = EXAMPLES) -> list[str]:
    """The lines of speech.en.txt and so on, for the languages that a checkpoint speaks."""
    files = [folder / f"speech.{language}.txt" for language in languages]
    return [
        line
        for file in files
        if file.exists()
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def sounds(folder: Path = EXAMPLES) -> list[str]:
    """Paths of examples/audio/*.wav."""
    return [str(path) for path in sorted((folder / "audio").glob("*.wav"))]
