"""The line of an engine: everybody in it, first come, first served, and an end to it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator

from kimi_demo.errors import EngineBusy
from kimi_demo.events import Queued

MAX_WAITING = 32
REPEAT_S = 0.1  # how soon somebody who waits can go away
FIRST_GUESS_S = 5.0  # how long a job takes, until some are done
MOST_RETRY_S = 60
NEWEST_SHARE = 0.2  # of the newest job in the running mean


class Line:
    """Who is served and who waits, in the order of arrival.

    max_waiting: one more is refused with EngineBusy, which says when to come back.
    """

    def __init__(self, slots: int, max_waiting: int = MAX_WAITING) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._places: deque[Place] = deque()  # those served stand in front
        self._changed = threading.Condition()
        self._mean_s = FIRST_GUESS_S

    def enter(self) -> Place:
        """The last place, to be left in the end, served or not. Raises: EngineBusy."""
        with self._changed:
            waiting = len(self._places) - self._slots
            if waiting >= self._max_waiting:
                seconds = self._half_empty_s(waiting)
                raise EngineBusy(f"{waiting} requests wait: try again in {seconds} s", seconds)
            place = Place(self)
            self._places.append(place)
            return place

    def leave(self, place: Place) -> None:
        """Gives a place up; those behind it move on."""
        with self._changed:
            self._places.remove(place)
            if served_s := place.served_s():
                self._mean_s += NEWEST_SHARE * (served_s - self._mean_s)
            self._changed.notify_all()

    def queued(self, place: Place, patience_s: float) -> Queued:
        """How many are served before this place; waits for a change if there is anybody."""
        with self._changed:
            self._changed.wait_for(lambda: not self._ahead(place), patience_s)
            ahead = self._ahead(place)
            return Queued(ahead, round(self._mean_s * ahead / self._slots, 1))

    def _ahead(self, place: Place) -> int:
        return max(0, self._places.index(place) - self._slots + 1)

    def _half_empty_s(self, waiting: int) -> int:
        """Until half of those who wait are served; no longer than clients are ready to wait."""
        return min(MOST_RETRY_S, math.ceil(self._mean_s * max(1, waiting) / self._slots / 2))


class Place:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._served_since: float | None = None

    def wait(self) -> Iterator[Queued]:
        """Says again and again how many are ahead, at last that nobody is."""
        patience_s = 0.0  # at first only a look
        while (queued := self._line.queued(self, patience_s)).ahead:
            yield queued
            patience_s = REPEAT_S
        self._served_since = time.monotonic()
        yield queued

    def leave(self) -> None:
        self._line.leave(self)

    def served_s(self) -> float:
        """Seconds since its turn came; 0 if it never did."""
        return time.monotonic() - self._served_since if self._served_since else 0.0
