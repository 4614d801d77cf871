"""Reading aloud: a text of any sensible length, sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from kimi_demo.engine.tasks.self_check import SelfCheck
from kimi_demo.engine.tasks.sentences import Passage, passages
from kimi_demo.engine.tasks.turns import Sum, part_of, told
from kimi_demo.engine.tasks.words import aloud, readable, said
from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.errors import InputError
from kimi_demo.events import AudioDelta, Event, SentenceStarted, TextDelta
from kimi_demo.intents import Speak
from kimi_demo.messages import Message
from kimi_demo.tasks import TaskTable
from kimi_demo.text import language_of
from kimi_demo.text.languages import DETECT, chosen_language, flowing, joint, named

MAX_READING_CHARS = 5_000  # about six minutes of speech
Plan = list[tuple[Passage, TurnRequest]]


def speak(
    intent: Speak,
    tasks: TaskTable,
    languages: tuple[str, ...],
    sample_rate: int,
    run_turn: RunTurn,
) -> Generator[Event, None, None]:
    """For each sentence SentenceStarted and its deltas, at the end one Finished for all; pauses
    come as silent AudioDeltas.

    languages: that the checkpoint speaks. sample_rate: of its speech, in Hz.
    Raises: InputError at once, before anything is spoken, for text that is empty, too long or
    cannot be spoken, for an unknown prompt, and for a language that the checkpoint does not speak.
    """
    text = intent.text
    if len(text) > MAX_READING_CHARS:
        raise InputError(
            f"the text has {len(text)} characters and at most {MAX_READING_CHARS} can be read "
            "aloud: shorten it"
        )
    chosen = chosen_language(intent.language, languages)
    found = passages(text, chosen, tasks.max_text_chars)
    if not found:
        readable(tasks, text[: tasks.max_text_chars])  # knows best what is wrong with it
        raise InputError("nothing in this text can be spoken")
    _check_spoken(found, chosen, languages)
    plan = [(passage, sentence(intent, passage.text, tasks)) for passage in found]
    checked = SelfCheck(run_turn, tasks, languages).told if intent.check else None
    return _spoken(plan, sample_rate, checked or (lambda _, turn: told(run_turn, turn)))


def spoken_words(tasks: TaskTable, text: str, language: str = "") -> str:
    """The words that `speak` will say, in one paragraph; empty if there are none.

    Raises: InputError for letters that cannot be spoken.
    """
    chosen = "" if language == DETECT else language
    return flowing(said(tasks, p.text) for p in passages(text, chosen, tasks.max_text_chars))


def sentence(intent: Speak, text: str, tasks: TaskTable) -> TurnRequest:
    """The turn that speaks a sentence of it. Raises: InputError if it cannot be spoken."""
    part = aloud(tasks, readable(tasks, text), intent.prompt)
    if intent.instructions.strip() and tasks.follows_instructions:
        part = replace(part, text=f"{intent.instructions.strip()}\n{part.text}")
    sampling = intent.sampling or tasks.speech_sampling
    messages = (Message("user", (part,)),)
    return TurnRequest(messages, "both", sampling, intent.seed, intent.max_new_tokens)


def _check_spoken(found: list[Passage], chosen: str, spoken: tuple[str, ...]) -> None:
    for passage in found:
        language = chosen or language_of(passage.text)
        if language not in spoken:
            raise InputError(
                f"this model does not speak {named([language])}, it speaks {named(spoken)}: "
                f"change “{passage.text[:24]}”"
            )


def _spoken(
    plan: Plan, sample_rate: int, tell: Callable[[str, TurnRequest], Generator[Event, None, None]]
) -> Generator[Event, None, None]:
    total, before = Sum(), ""
    for index, (passage, turn) in enumerate(plan, 1):
        if passage.pause_s:
            yield _silence(passage.pause_s, sample_rate)
        yield SentenceStarted(index, len(plan), passage.text)
        gap = joint(before, passage.text) if before else ""
        with closing(part_of(tell(passage.text, turn), total)) as events:
            for event in events:
                if isinstance(event, TextDelta) and gap:
                    yield TextDelta(gap)
                    gap = ""
                yield event
        before = passage.text
    yield total.finished()


def _silence(seconds: float, sample_rate: int) -> AudioDelta:
    return AudioDelta(np.zeros(round(seconds * sample_rate), np.float32), sample_rate)
