"""Answers that end before a text which the caller has named."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from kimi_demo.engine.tasks.turns import Sum
from kimi_demo.events import Event, Finished, StartedOver, TextDelta


def until(
    events: Generator[Event, None, None], stops: Sequence[str]
) -> Generator[Event, None, None]:
    """An answer up to the first of `stops`, which is not told itself.

    Text that may be the beginning of one is held back until it is none. When one has come the
    stream is closed; Finished then counts what was made so far. It has no codes: those belong to
    more words than were told.
    """
    text, total = _HeldBack(stops), Sum()
    with closing(events):
        for event in events:
            total.take(event)
            match event:
                case TextDelta(more):
                    yield from text.push(more)
                    if text.stopped:
                        yield total.finished("stop")
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
