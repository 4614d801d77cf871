"""Speech that the model listens to before anybody else does.

Nothing guarantees that a model reads what it was given: now and then words are missing or come
twice. So its speech is written down by the same model and compared with the text; what differs too
much is spoken once more. Sound that was already heard cannot be taken back, so this is for callers
that want the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Engine
from kimi_demo.errors import AudioError, InputError
from kimi_demo.events import Answer, AudioDelta, Event, Finished, Started, TextDelta, collect
from kimi_demo.messages import Request, Sampling
from kimi_demo.services.comparing import Piece, compared
from kimi_demo.services.transcribing import (
    TranscribingEvent,
    Transcript,
    heard_languages,
    transcribe,
    transcript_of,
)
from kimi_demo.text import language_of, spoken

# A dropped greeting or a clause said twice is more than this, spellings misheard are less.
MAX_ERROR_RATE = 0.25


@dataclass(frozen=True)
class Checked:
    """How well the model understood its own speech of a text.

    edits: characters to change, add or drop in what was heard. chars: of the text; punctuation,
    case and spaces count in neither. seed: of the speech that was kept. tries: 1 or 2.
    """

    heard: str
    edits: int
    chars: int
    seed: int
    tries: int

    @property
    def error_rate(self) -> float:
        """Edits for each character of the text; above 1 if more was said than written."""
        return self.edits / max(1, self.chars)


@dataclass(frozen=True)
class HeardBack:
    """What the model heard of its speech of one text.

    pieces: the words that were meant, and which of them were heard differently.
    """

    heard: str
    pieces: tuple[Piece, ...]


def stream(engine: Engine, request: Request, text: str) -> Generator[Event | Checked, None, None]:
    """As `engine.stream`, for a request to read `text` aloud; nothing comes before it was checked.

    Where more than MAX_ERROR_RATE differs, the request is repeated once with another seed, and
    the better speech is kept. Checked comes before Finished, whose times include every try.
    """
    tries = [_tried(engine, request, text)]
    if tries[0].checked.error_rate > MAX_ERROR_RATE:
        tries.append(_tried(engine, _with_another_seed(request), text))
    kept = min(tries, key=lambda attempt: attempt.checked.error_rate)
    yield Started(kept.answer.finished.prompt_tokens)
    if kept.answer.text:
        yield TextDelta(kept.answer.text)
    if len(kept.answer.waveform):
        yield AudioDelta(kept.answer.waveform, kept.answer.sample_rate)
    yield dataclasses.replace(kept.checked, tries=len(tries))
    yield _delayed(kept.answer.finished, sum(attempt.spent_s for attempt in tries))


def error_rate(checks: Iterable[Checked]) -> float:
    """Of several texts as of one."""
    found = list(checks)
    return sum(check.edits for check in found) / max(1, sum(check.chars for check in found))


@dataclass(frozen=True, eq=False)
class _Try:
    answer: Answer
    checked: Checked
    spent_s: float


def _tried(engine: Engine, request: Request, text: str) -> _Try:
    with closing(engine.stream(request)) as events:
        answer = collect(events)
    heard, listening_s = _heard(engine, Audio(answer.waveform, answer.sample_rate), text)
    wanted = _comparable(text)
    edits = Levenshtein.distance(wanted, _comparable(heard))
    checked = Checked(heard, edits, len(wanted), request.seed, tries=1)
    return _Try(answer, checked, answer.finished.timings.total_s + listening_s)


def listen_back(
    engine: Engine, said: Sequence[tuple[str, Audio]]
) -> Generator[TranscribingEvent | HeardBack, None, None]:
    """The model writes down its speech of these texts: for each its events, then HeardBack.

    close() cancels what the engine is doing.
    """
    for text, sound in said:
        heard = ""
        try:
            with closing(_listening(engine, sound, text)) as events:
                for event in events:
                    heard = event.text if isinstance(event, Transcript) else heard
                    yield event
        except AudioError:  # silence says nothing
            heard = ""
        yield HeardBack(heard, compared(_words(text), _words(heard)))


def _listening(engine: Engine, sound: Audio, text: str) -> Generator[TranscribingEvent, None, None]:
    language = language_of(text)
    known = heard_languages(engine.capabilities)
    return transcribe(engine, sound, language if language in known else "")


def _heard(engine: Engine, sound: Audio, text: str) -> tuple[str, float]:
    """What the model makes of its sound, and the seconds that took; silence says nothing."""
    try:
        transcript, finished = transcript_of(_listening(engine, sound, text))
    except AudioError:
        return "", 0.0
    return transcript.text, finished.timings.total_s


def _comparable(text: str) -> str:
    """Letters and digits of the spoken form: "It's 3 pm." and "it's three p m" are equal."""
    return _letters(_words(text))


def _words(text: str) -> str:
    """The spoken form; as it is if it is in a script that only some models speak."""
    try:
        return spoken(text)
    except InputError:
        return text


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _with_another_seed(request: Request) -> Request:
    sampling = request.sampling
    if not sampling.audio.temperature:  # the likeliest sound is the same for every seed
        sampling = dataclasses.replace(sampling, audio=Sampling().audio)
    return dataclasses.replace(request, seed=request.seed + 1, sampling=sampling)


def _delayed(finished: Finished, spent_s: float) -> Finished:
    """The ending as callers see it: the first sound came when all was done."""
    first_audio_s = None if finished.timings.first_audio_s is None else spent_s
    first_text_s = None if finished.timings.first_text_s is None else spent_s
    timings = dataclasses.replace(
        finished.timings,
        first_text_s=first_text_s,
        first_audio_s=first_audio_s,
        total_s=spent_s,
    )
    return dataclasses.replace(finished, timings=timings)
