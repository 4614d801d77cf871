"""Examples that lie beside the package in `examples/`; a tab without any shows none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
SPEECH = "speech"
# What a clip is an example of stands before the first hyphen of its name; speech has no such word.
KINDS = ("sound", "scene", "emotion", "sequence", "beeps", "question")
_LANGUAGES = {"en": "English", "zh": "中文"}


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


def sounds(kind: str = SPEECH, folder: Path = EXAMPLES) -> list[str]:
    """Paths of the clips of one kind in examples/audio, in the order of their names."""
    return [str(path) for path in sorted((folder / "audio").glob("*.wav")) if _kind(path) == kind]


def labelled(path: str) -> str:
    """A clip's name for people: "sound-phone-ring.wav" -> "sound: phone ring"; speech is named by
    its words, and a language by its own name.
    """
    *words, last = Path(path).stem.split("-")
    words = [*words, _LANGUAGES.get(last, last)]
    if _kind(Path(path)) == SPEECH:
        return " ".join(words)
    return f"{words[0]}: {' '.join(words[1:])}"


def _kind(path: Path) -> str:
    word = path.stem.partition("-")[0]
    return word if word in KINDS else SPEECH
