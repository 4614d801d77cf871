"""One engine for everybody: first come, first served, and an end to the line."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.errors import EngineBusy
from kimi_demo.events import Event, Queued
from kimi_demo.messages import Request

REPEAT_S = 0.25  # how soon somebody who waits can go away
FIRST_GUESS_S = 5.0  # how long a request takes, until some are done
MOST_RETRY_S = 60
NEWEST_SHARE = 0.2  # of the newest request in the running mean


class SharedEngine:
    """Lets as many requests in as the engine has slots; the others wait in line.

    max_waiting: of the line; one more is refused with EngineBusy, which says when to come back.
    """

    def __init__(self, engine: Engine, max_waiting: int = 32) -> None:
        self._engine = engine
        self._line = _Line(engine.capabilities.slots, max_waiting)

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yields Queued until a slot is free, then the answer's events; see `Engine.stream`."""
        with self._line.place(request.goes_on) as place:
            yield from place.wait()
            with closing(self._engine.stream(request)) as events:
                yield from events

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()


class _Line:
    """Who is served and who waits, in the order of arrival."""

    def __init__(self, slots: int, max_waiting: int) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._places: deque[_Place] = deque()  # those served stand in front
        self._changed = threading.Condition()
        self._mean_s = FIRST_GUESS_S

    @contextmanager
    def place(self, goes_on: bool) -> Iterator[_Place]:
        """The last place; it is given up in the end, served or not. goes_on: see `Request`.

        Raises: EngineBusy if too many wait.
        """
        place = _Place(self)
        with self._changed:
            waiting = len(self._places) - self._slots
            if waiting >= self._max_waiting and not goes_on:
                seconds = self._half_empty_s(waiting)
                raise EngineBusy(f"{waiting} requests wait: try again in {seconds} s", seconds)
            self._places.append(place)
        try:
            yield place
        finally:
            with self._changed:
                self._places.remove(place)
                self._learn(place.served_s())
                self._changed.notify_all()

    def ahead_of(self, place: _Place, patience_s: float) -> int:
        """How many are served before this place; waits for a change if there is anybody."""
        with self._changed:
            self._changed.wait_for(lambda: not self._ahead(place), patience_s)
            return self._ahead(place)

    def _ahead(self, place: _Place) -> int:
        return max(0, self._places.index(place) - self._slots + 1)

    def _half_empty_s(self, waiting: int) -> int:
        """Until half of those who wait are served; no longer than clients are ready to wait."""
        return min(MOST_RETRY_S, math.ceil(self._mean_s * max(1, waiting) / self._slots / 2))

    def _learn(self, served_s: float) -> None:
        if served_s:
            self._mean_s += NEWEST_SHARE * (served_s - self._mean_s)


class _Place:
    """One request's place in the line."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._served_since: float | None = None

    def wait(self) -> Iterator[Queued]:
        """Says again and again how many are ahead, at last that nobody is."""
        patience_s = 0.0  # at first only a look
        while ahead := self._line.ahead_of(self, patience_s):
            yield Queued(ahead)
            patience_s = REPEAT_S
        self._served_since = time.monotonic()
        yield Queued(0)

    def served_s(self) -> float:
        """Seconds since its turn came; 0 if it never did."""
        return time.monotonic() - self._served_since if self._served_since else 0.0
