"""Examples that lie beside the package in `examples/`; a tab without any shows none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kimi_demo.ui.view import LANGUAGE_NAMES

EXAMPLES = Path(__file__).parents[2] / "examples"
# What a clip is an example of: what stands before the first hyphen of its name.
KINDS = ("speech", "question", "voice", "sound", "scene", "emotion", "sequence", "beeps")


def sentences(languages: Iterable[str], folder: Path = EXAMPLES) -> list[str]:
    """The lines of speech.en.txt and so on, for the languages that a checkpoint speaks."""
    return _lines("speech", languages, folder)


def questions(languages: Iterable[str], folder: Path = EXAMPLES) -> list[str]:
    """The lines of questions.en.txt and so on, for the languages that a checkpoint speaks."""
    return _lines("questions", languages, folder)


def sounds(kind: str, folder: Path = EXAMPLES) -> list[str]:
    """Paths of the clips of one kind in examples/audio, in the order of their names."""
    return [str(path) for path in sorted((folder / "audio").glob(f"{kind}-*.wav"))]


def labelled(path: str) -> str:
    """A clip's name for people: "sound-phone-ring.wav" -> "sound: phone ring"; a language is named
    by itself.
    """
    kind, *words = Path(path).stem.split("-")
    return f"{kind}: {' '.join(LANGUAGE_NAMES.get(word, word) for word in words)}"


def worded(path: str) -> str:
    """The words that are said in a clip, as they stand in the text beside it; its name without."""
    text = Path(path).with_suffix(".txt")
    return text.read_text(encoding="utf-8").strip() if text.exists() else labelled(path)


def _lines(name: str, languages: Iterable[str], folder: Path) -> list[str]:
    files = [folder / f"{name}.{language}.txt" for language in languages]
    texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
    return [line for text in texts for line in text.splitlines() if line.strip()]
