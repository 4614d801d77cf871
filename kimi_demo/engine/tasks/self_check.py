"""Speech that the model listens to, before anybody else does or after.

Nothing guarantees that a model reads what it was given: now and then words are missing or come
twice. So its speech is written down by the same model and compared with the text; what differs too
much is spoken once more. Sound that was already heard cannot be taken back, so that is for those
who want the whole; others may see what the model understood of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from kimi_demo.audio import Audio
from kimi_demo.engine.tasks.transcribe import heard_languages, transcribe
from kimi_demo.engine.tasks.turns import Sum, told
from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.errors import AudioError, InputError
from kimi_demo.events import (
    Answer,
    AudioDelta,
    Checked,
    Event,
    Queued,
    Started,
    Stepped,
    TextDelta,
    Transcript,
    collect,
)
from kimi_demo.intents import ListenBack, Transcribe
from kimi_demo.messages import Sampling
from kimi_demo.tasks import TaskTable
from kimi_demo.text import language_of, spoken

# A dropped greeting or a clause said twice is more than this, spellings misheard are less.
MAX_ERROR_RATE = 0.25


@dataclass(frozen=True)
class SelfCheck:
    """languages: that the model speaks and understands."""

    run_turn: RunTurn
    tasks: TaskTable
    languages: tuple[str, ...]

    def told(self, text: str, turn: TurnRequest) -> Generator[Event, None, None]:
        """As `turns.told`, for a turn that reads `text` aloud; of text and sound nothing comes
        before it was checked.

        Where more than MAX_ERROR_RATE differs, the turn is repeated once with another seed, and the
        better speech is kept. Checked comes before Finished, which counts the speech that is kept.
        """
        tries = [(yield from self._tried(text, turn))]
        if tries[0].checked.error_rate > MAX_ERROR_RATE:
            tries.append((yield from self._tried(text, _with_another_seed(turn))))
        kept = min(tries, key=lambda attempt: attempt.checked.error_rate)
        yield Started(kept.answer.finished.prompt_tokens)
        if kept.answer.text:
            yield TextDelta(kept.answer.text)
        if len(kept.answer.waveform):
            yield AudioDelta(kept.answer.waveform, kept.answer.sample_rate)
        yield dataclasses.replace(kept.checked, tries=len(tries))
        yield kept.answer.finished

    def _tried(self, text: str, turn: TurnRequest) -> Generator[Event, None, _Try]:
        answer = collect((yield from _steps(told(self.run_turn, turn))))
        sound = Audio(answer.waveform, answer.sample_rate)
        seen = yield from _heard(sound, text, self.tasks, self.languages, self.run_turn)
        return _Try(answer, checked(text, seen, turn.seed))


def listen_back(
    intent: ListenBack, tasks: TaskTable, languages: tuple[str, ...], run_turn: RunTurn
) -> Generator[Event, None, None]:
    """Checked for each text, between steps; one Finished for all."""
    total = Sum()
    for text, sound in intent.said:
        seen = yield from _heard(sound, text, tasks, languages, run_turn)
        for event in seen:
            total.take(event)
        yield checked(text, seen)
    yield total.finished()


def _heard(
    sound: Audio, text: str, tasks: TaskTable, languages: tuple[str, ...], run_turn: RunTurn
) -> Generator[Event, None, list[Event]]:
    """Passes the steps of what the model makes of its speech; returns all events, none of silence,
    which says nothing.
    """
    intent = listening(sound, text, tasks, languages)
    try:
        return (yield from _steps(transcribe(intent, tasks, languages, run_turn)))
    except AudioError:
        return []


def listening(sound: Audio, text: str, tasks: TaskTable, languages: tuple[str, ...]) -> Transcribe:
    """How the model writes down its own speech of a text, whose language is known."""
    language = language_of(text)
    known = heard_languages(tasks, languages)
    return Transcribe(sound, language if language in known else "")


def checked(text: str, heard: Iterable[Event], seed: int = 0) -> Checked:
    """How far the transcript among these events is from the text; without one nothing was heard."""
    found = "".join(event.text for event in heard if isinstance(event, Transcript))
    wanted = comparable(text)
    edits = Levenshtein.distance(wanted, comparable(found))
    return Checked(found, edits, len(wanted), seed, tries=1)


def error_rate(checks: Iterable[Checked]) -> float:
    """Of several texts as of one."""
    found = list(checks)
    return sum(check.edits for check in found) / max(1, sum(check.chars for check in found))


def comparable(text: str) -> str:
    """Letters and digits of the spoken form: "It's 3 pm." and "it's three p m" are equal."""
    said = spoken_form(text).casefold()
    return "".join(character for character in said if character.isalnum())


def spoken_form(text: str) -> str:
    """As words; as it is if it is in a script that only some models speak."""
    try:
        return spoken(text)
    except InputError:
        return text


@dataclass(frozen=True, eq=False)
class _Try:
    answer: Answer
    checked: Checked


def _steps(events: Generator[Event, None, None]) -> Generator[Event, None, list[Event]]:
    """Passes what tells only that time goes by, so that a job can be cancelled; returns all."""
    seen: list[Event] = []
    with closing(events):
        for event in events:
            seen.append(event)
            if isinstance(event, Queued | Stepped):
                yield event
    return seen


def _with_another_seed(turn: TurnRequest) -> TurnRequest:
    sampling = turn.sampling
    if not sampling.audio.temperature:  # the likeliest sound is the same for every seed
        sampling = dataclasses.replace(sampling, audio=Sampling().audio)
    return dataclasses.replace(turn, seed=turn.seed + 1, sampling=sampling)
