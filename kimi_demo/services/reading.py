"""Reading aloud: a text of any sensible length, sentence by sentence, as one stream of events."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import sentencex

from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.events import AudioDelta, Event, TextDelta
from kimi_demo.messages import Request, Sampling
from kimi_demo.services import checking
from kimi_demo.services.checking import Checked
from kimi_demo.services.languages import DETECT, chosen_language, flowing, joint, named
from kimi_demo.services.relay import Totals, relayed
from kimi_demo.tasks import TaskTable
from kimi_demo.text import language_of

MAX_READING_CHARS = 5_000  # about six minutes of speech
CLAUSE_PAUSE_S = 0.1
SENTENCE_PAUSE_S = 0.25
PARAGRAPH_PAUSE_S = 0.5

_BROKEN_LINE = re.compile(r"(?<=[a-z,])\n(?=[a-z])")  # as in mails: the sentence goes on
_CLAUSE_END = re.compile(r"[,;:](?=\s)|[，；：、]|\s[-–—]+(?=\s)")
_WORD_END = re.compile(r"\s+")


@dataclass(frozen=True)
class Passage:
    """What one request speaks; pause_s of silence goes before it."""

    text: str
    pause_s: float


@dataclass(frozen=True)
class SentenceStarted:
    """The next passage is in work. index counts from 1."""

    index: int
    total: int
    text: str


ReadingEvent = Event | SentenceStarted | Checked


def read_aloud(
    engine: Engine,
    text: str,
    sampling: Sampling | None = None,
    seed: int = 0,
    language: str = "",
    prompt: str = "",
    check: bool = False,
    instructions: str = "",
) -> Generator[ReadingEvent, None, None]:
    """Speaks the text: for each sentence SentenceStarted and its deltas, at the end one Finished
    for all; pauses come as silent AudioDeltas. close() cancels what the engine is doing.

    prompt: a way to ask for speech, one of the table's. check: each sentence is listened to before
    its sound comes, and followed by Checked; see `checking`. instructions: how to speak, for
    checkpoints that follow any.
    Raises: InputError at once, before anything is spoken, for text that is empty, too long or
    cannot be spoken, for an unknown prompt, and for a language that the checkpoint does not speak.
    """
    tasks = engine.capabilities.tasks
    if len(text) > MAX_READING_CHARS:
        raise InputError(
            f"the text has {len(text)} characters and at most {MAX_READING_CHARS} can be read "
            "aloud: shorten it"
        )
    chosen = chosen_language(language, engine.capabilities.languages)
    found = passages(text, chosen, tasks.max_text_chars)
    if not found:
        tasks.readable(text[: tasks.max_text_chars])  # knows best what is wrong with it
        raise InputError("nothing in this text can be spoken")
    _check_spoken(found, chosen, engine.capabilities.languages)
    requests = [tasks.speech(p.text, sampling, seed, prompt, instructions) for p in found]
    parts = [replace(request, goes_on=n > 0) for n, request in enumerate(requests)]
    plan = list(zip(found, parts, strict=True))
    return _spoken(engine, plan, check)


def spoken_words(tasks: TaskTable, text: str, language: str = "") -> str:
    """The words that `read_aloud` will say, in one paragraph; empty if there are none.

    Raises: InputError for letters that cannot be spoken.
    """
    chosen = "" if language == DETECT else language
    return flowing(tasks.said(p.text) for p in passages(text, chosen, tasks.max_text_chars))


def passages(text: str, language: str, max_chars: int) -> list[Passage]:
    """Sentences, and the clauses of those longer than max_chars; without what has no word."""
    found: list[Passage] = []
    for paragraph in _BROKEN_LINE.sub(" ", text).splitlines():
        pause_s = PARAGRAPH_PAUSE_S
        for sentence in sentencex.segment(language or language_of(paragraph), paragraph):
            for clause in _fitting(sentence, max_chars):
                if any(character.isalnum() for character in clause):
                    found.append(Passage(clause, pause_s if found else 0.0))
                    pause_s = CLAUSE_PAUSE_S
            pause_s = max(pause_s, SENTENCE_PAUSE_S)
    return found


def _fitting(sentence: str, max_chars: int) -> Iterator[str]:
    """The sentence, cut where it hurts least until every piece fits."""
    rest = sentence.strip()
    while len(rest) > max_chars:
        cut = _last_end(_CLAUSE_END, rest, max_chars) or _last_end(_WORD_END, rest, max_chars)
        cut = cut or max_chars
        yield rest[:cut].strip()
        rest = rest[cut:].strip()
    yield rest


def _last_end(pattern: re.Pattern[str], text: str, limit: int) -> int:
    """Where the last match within the limit ends; 0 if it leaves too little before it."""
    ends = [match.end() for match in pattern.finditer(text, 0, limit)]
    return ends[-1] if ends and ends[-1] > limit // 4 else 0


def _check_spoken(found: list[Passage], chosen: str, spoken: tuple[str, ...]) -> None:
    for passage in found:
        language = chosen or language_of(passage.text)
        if language not in spoken:
            raise InputError(
                f"this model does not speak {named([language])}, it speaks {named(spoken)}: "
                f"change “{passage.text[:24]}”"
            )


def _spoken(
    engine: Engine, plan: list[tuple[Passage, Request]], check: bool
) -> Generator[ReadingEvent, None, None]:
    totals = Totals()
    before = ""
    for index, (passage, request) in enumerate(plan, 1):
        if passage.pause_s:
            totals.add_pause(passage.pause_s)
            yield _silence(passage.pause_s, engine.capabilities.sample_rate)
        yield SentenceStarted(index, len(plan), passage.text)
        gap = joint(before, passage.text) if before else ""
        speech = checking.stream(engine, request, passage.text) if check else engine.stream(request)
        with closing(relayed(speech, totals)) as events:
            for event in events:
                if isinstance(event, TextDelta) and gap:
                    yield TextDelta(gap)
                    gap = ""
                yield event
        before = passage.text
    yield totals.finished()


def _silence(seconds: float, sample_rate: int) -> AudioDelta:
    return AudioDelta(np.zeros(round(seconds * sample_rate), np.float32), sample_rate)
