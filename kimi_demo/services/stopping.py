"""Answers that end before a text which the caller has named."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing

from kimi_demo.events import (
    AudioDelta,
    Event,
    Finished,
    Started,
    StartedOver,
    Stepped,
    TextDelta,
    Timings,
)


def until(
    events: Generator[Event, None, None], stops: Sequence[str]
) -> Generator[Event, None, None]:
    """An answer up to the first of `stops`, which is not told itself.

    Text that may be the beginning of one is held back until it is none. When one has come the
    stream is closed; Finished then counts what was made so far. It has no codes: those belong to
    more words than were told.
    """
    text, so_far = _HeldBack(stops), _SoFar()
    with closing(events):
        for event in events:
            so_far.take(event)
            match event:
                case TextDelta(more):
                    yield from text.push(more)
                    if text.stopped:
                        yield so_far.finished()
                        return
                case StartedOver():
                    text.forget()
                    yield event
                case Finished():
                    yield from text.rest()
                    yield event
                case _:
                    yield event


class _HeldBack:
    """Lets text pass as soon as it cannot be the beginning of a stop any more."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.stopped = False

    def push(self, more: str) -> Generator[TextDelta, None, None]:
        self._held += more
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        self.stopped = bool(found)
        yield from self._tell(min(found) if found else len(self._held) - self._open())

    def rest(self) -> Generator[TextDelta, None, None]:
        """What was no stop after all."""
        yield from self._tell(len(self._held))

    def forget(self) -> None:
        self._held = ""

    def _tell(self, count: int) -> Generator[TextDelta, None, None]:
        told, self._held = self._held[:count], self._held[count:]
        if told:
            yield TextDelta(told)

    def _open(self) -> int:
        """Characters at the end with which a stop begins."""
        longest = max(map(len, self._stops), default=1) - 1
        counts = range(min(longest, len(self._held)), 0, -1)
        return next((n for n in counts if self._begins(self._held[-n:])), 0)

    def _begins(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._stops)


class _SoFar:
    """What an answer has used until now."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first_text_s: float | None = None
        self._first_audio_s: float | None = None
        self._prompt_tokens = 0
        self._before, self._step = Stepped(0, 0), Stepped(0, 0)
        self._audio_s = 0.0

    def take(self, event: Event) -> None:
        elapsed_s = time.perf_counter() - self._began
        match event:
            case Started():
                self._prompt_tokens = event.prompt_tokens
            case Stepped():
                self._step = event
            case StartedOver():
                self._before, self._step = self._steps(), Stepped(0, 0)
            case TextDelta() if self._first_text_s is None:
                self._first_text_s = elapsed_s
            case AudioDelta():
                self._audio_s += len(event.waveform) / event.sample_rate
                if self._first_audio_s is None:
                    self._first_audio_s = elapsed_s

    def finished(self) -> Finished:
        steps = self._steps()
        total_s = time.perf_counter() - self._began
        return Finished(
            "stop",
            self._prompt_tokens,
            steps.text_tokens,
            steps.audio_tokens,
            Timings(self._first_text_s, self._first_audio_s, total_s, self._audio_s),
        )

    def _steps(self) -> Stepped:
        return Stepped(
            self._before.text_tokens + self._step.text_tokens,
            self._before.audio_tokens + self._step.audio_tokens,
        )
