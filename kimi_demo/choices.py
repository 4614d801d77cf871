"""Closed questions about a sound: the published option lists, and how one is put to the model.

Source of the published prompts: the evaluation kit of the release; its odd "\\n.Answer" is kept, so
that answers stay comparable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from kimi_demo.errors import InputError
from kimi_demo.messages import Option

_ANSWER_BY_LETTER = (
    "\n.Answer with the option's letter from the given choices directly and only give the best "
    "option."
)

MAX_OPTIONS = 40


@dataclass(frozen=True)
class ChoiceTask:
    """A question with its options.

    lettered: the options are listed in the prompt and answered by letter, as published; otherwise
    the bare question is asked and each option is weighed in its own words.
    in_line: lettered options stand in one line behind the question, and that is all.
    """

    question: str
    options: tuple[str, ...]
    lettered: bool = True
    in_line: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))

    def with_own(self, question: str = "", options: Sequence[str] = ()) -> ChoiceTask:
        """The same kind of task with a visitor's words where there are any.

        Raises: InputError without a question, and unless there are at least 2 different options,
        and not too many.
        """
        chosen = tuple(dict.fromkeys(o.strip() for o in options if o.strip())) or self.options
        most = len(ascii_uppercase) if self.lettered else MAX_OPTIONS
        if not 2 <= len(chosen) <= most:
            raise InputError(f"give between 2 and {most} different options, separated by commas")
        asked = question.strip() or self.question
        if not asked:
            raise InputError("there is no question yet: say what is to be decided")
        return dataclasses.replace(self, question=asked, options=chosen)

    def prompt(self) -> str:
        if not self.lettered:
            return self.question
        listed = [f"({letter}) {option}" for letter, option in self._lettered()]
        if self.in_line:
            return "\n".join((self.question, " ".join(listed)))
        return "\n".join((self.question, "Options:", *listed)) + _ANSWER_BY_LETTER

    def weighed(self) -> tuple[Option, ...]:
        """The options with what the model would write for each."""
        if not self.lettered:
            return tuple(Option(option, f"{option}.") for option in self.options)
        return tuple(Option(option, letter) for letter, option in self._lettered())

    def _lettered(self) -> list[tuple[str, str]]:
        return list(zip(ascii_uppercase, self.options, strict=False))


def _published(question: str, options: str) -> ChoiceTask:
    return ChoiceTask(question, tuple(o.strip() for o in options.split(",")))


_VOCAL = "Identify the human vocal sound in the audio."
_SCENE = "Identify the acoustic scene in the audio."
PUBLISHED: dict[str, ChoiceTask] = {
    "emotion": _published(  # MELD
        "Identify the predominant emotion in this speech.",
        "neutral, joy, sadness, anger, surprise, fear, disgust",
    ),
    "sound": _published(_VOCAL, "Laughter, Sigh, Cough, Throat clearing, Sneeze, Sniff"),
    "sound-nonspeech7k": _published(_VOCAL, "Breath, Cough, Cry, Laugh, Scream, Sneeze, Yawn"),
    "scene": _published(  # TUT 2017
        _SCENE,
        "beach, bus, cafe or restaurant, car, city center, forest path, grocery store, home, "
        "library, metro station, office, park, residential area, train, tram",
    ),
    "scene-cochlscene": _published(
        _SCENE,
        "bus, cafe, car, crowdedindoor, elevator, kitchen, park, residentialarea, restaurant, "
        "restroom, street, subway, subwaystation",
    ),
    "mmau": ChoiceTask("", (), in_line=True),  # each of its questions brings its own options
}
