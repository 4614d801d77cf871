"""The figures that count, each with what it should reach, in the order in which cards list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce


@dataclass(frozen=True)
class Figure:
    """Where a figure lies in the results, and its aim: a bound above or below, or none.

    path: keys from the section down to the value, joined by dots; `count` stands beside the value.
    """

    task: str
    measure: str
    path: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def aim(self) -> str:
        """The bound in words; "reported" without one."""
        if self.at_most is not None:
            return f"<= {self.at_most:.2f}"
        return "reported" if self.at_least is None else f">= {self.at_least:.2f}"

    def reached(self, value: float | None) -> bool | None:
        """None if there is no value or nothing to reach."""
        if value is None or self.at_most is self.at_least is None:
            return None
        return value <= self.at_most if self.at_most is not None else value >= self.at_least


_PARTS = {"en": "English", "zh": "Mandarin"}
_LISTENER = {"en": ("wer", "WER, pocketsphinx"), "zh": ("cer", "CER, own transcription")}
_DEGRADED = {"noise": "15 dB noise", "room": "small room", "telephone": "8 kHz"}
_ASKED = {
    "count": "counting beeps",
    "speech": "speech or not",
    "language": "which language",
    "speaker": "man or woman",
    "first": "which sound first",
}
_ASKED_BESIDES = {
    "last": "which sound last",
    "what": "what it is",
    "all": "what there is",
    "place": "where it is",
    "feeling": "what the mood is",
}


def _speech(language: str, at_most: float) -> tuple[Figure, Figure]:
    key, measure = _LISTENER[language]
    task, section = f"text to speech, {_PARTS[language]}", f"speech_{language}"
    return (
        Figure(task, measure, f"{section}.{key}", at_most=at_most),
        Figure(f"{task}: the original voice", measure, f"{section}.original_{key}"),
    )


def _conversation(way: str, words: str, at_least: float | None) -> list[Figure]:
    return [
        Figure(
            f"conversation, {part}, {words}",
            "right answers",
            f"conversation.{language}.{way}.right",
            at_least=at_least,
        )
        for language, part in _PARTS.items()
    ]


def _asked(kinds: Mapping[str, str], at_least: float | None) -> list[Figure]:
    return [
        Figure(f"questions: {words}", "exact answers", f"ask.{kind}.right", at_least=at_least)
        for kind, words in kinds.items()
    ]


_NEW_WORDS, _OWN = "text to speech, words never trained on", "CER, own transcription"
FIGURES: tuple[Figure, ...] = (
    *_speech("en", 0.20),
    *_speech("zh", 0.15),
    Figure(_NEW_WORDS, _OWN, "speech_new_words.cer"),
    Figure(f"{_NEW_WORDS}: the original voice", _OWN, "speech_new_words.original_cer"),
    Figure("transcription, English", "WER", "hearing.en.clean.wer", at_most=0.06),
    Figure("transcription, Mandarin", "CER", "hearing.zh.clean.cer", at_most=0.08),
    *(
        Figure(f"transcription, English, {words}", "WER", f"hearing.en.{name}.wer", at_most=0.15)
        for name, words in _DEGRADED.items()
    ),
    Figure(
        "transcription, English, a voice never trained on",
        "WER",
        "hearing.en.unseen.wer",
        at_most=0.35,
    ),
    *_conversation("spoken", "spoken in", 0.90),
    *_conversation("typed", "typed in", None),
    *_conversation("two_turns", "a second turn", 0.80),
    *(
        Figure(
            f"conversation, {part}, spoken out",
            _LISTENER[language][1],
            f"conversation_spoken.{language}.{_LISTENER[language][0]}",
            at_most=0.25,
        )
        for language, part in _PARTS.items()
    ),
    Figure("captioning, single sounds", "class named", "captioning.single.right", at_least=0.90),
    Figure(
        "captioning, two or three sounds",
        "all classes named",
        "captioning.several.right",
        at_least=0.75,
    ),
    *(
        Figure(words, "accuracy", f"choices.{name}.right", at_least=0.85)
        for name, words in {
            "emotion": "emotion",
            "sound": "sound event",
            "scene": "scene",
        }.items()
    ),
    *_asked(_ASKED, 0.85),
    *_asked(_ASKED_BESIDES, None),
)


def table(results: Mapping[str, object]) -> list[dict[str, object]]:
    """One row a figure; value and count are null where a section was not, or could not be, run."""
    return [_row(figure, results) for figure in FIGURES]


def _row(figure: Figure, results: Mapping[str, object]) -> dict[str, object]:
    place, _, _ = figure.path.rpartition(".")
    value = _found(results, figure.path)
    return {
        "task": figure.task,
        "measure": figure.measure,
        "value": value,
        "aim": figure.aim,
        "reached": figure.reached(value),
        "count": _found(results, f"{place}.count"),
    }


def _found(results: Mapping[str, object], path: str) -> float | None:
    """The value at a path; None if the way there breaks off."""

    def inside(place: object, key: str) -> object:
        return place.get(key) if isinstance(place, Mapping) else None

    return reduce(inside, path.split("."), results)
