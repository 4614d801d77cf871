"""One thing somebody wants, on a thread of its own: what it makes waits here for its reader, so
that the next sentence is in work while one sounds, and a slow reader holds no slot.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing

from kimi_demo.events import AudioDelta, Event

MAX_UNREAD_BYTES = 64 * 2**20  # eleven minutes of sound, more than the longest reading
STALL_S = 60.0  # whoever reads nothing for so long, and has so much before them, is gone
_EVENT_BYTES = 100  # of one without sound, about


class Job:
    """Runs a generator of events to its end, or until it is cancelled.

    events: closed on the job's thread. ended: called there when nothing is held any more.
    """

    def __init__(
        self, events: Generator[Event, None, None], ended: Callable[[Job], None] | None = None
    ) -> None:
        self._source = events
        self._when_ended = ended
        self._changed = threading.Condition()
        self._unread: deque[Event] = deque()
        self._unread_bytes = 0
        self._cancelled = False
        self._ended = False
        self._failure: BaseException | None = None
        self._wake: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="job", daemon=True)

    def begin(self) -> Job:
        self._thread.start()
        return self

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self, reason: Exception | None = None) -> None:
        """Ends the job after the event in work, from whichever thread; its reader gets no more.

        reason: what the reader is told in place of an end.
        """
        with self._changed:
            if self._cancelled or self._ended:
                return
            self._cancelled = True
            self._failure = reason
            self._unread.clear()
            self._changed.notify_all()
        self._wake()

    def join(self) -> None:
        self._thread.join()

    def events(self) -> Generator[Event, None, None]:
        """All events, for one reader; closing this cancels the job.

        Raises: whatever the job does, after the events before it.
        """
        try:
            while (event := self._next()) is not None:
                yield event
        finally:
            self.cancel()

    def listen(self, wake: Callable[[], None]) -> None:
        """For readers that do not wait: `wake` is called whenever `take` has something to tell."""
        self._wake = wake
        wake()

    def take(self) -> tuple[list[Event], bool]:
        """What came since the last time, and whether that is all.

        Raises: whatever the job does, after the events before it.
        """
        with self._changed:
            events, over = list(self._unread), self._ended or self._cancelled
            self._forget_unread()
            if not events and over and self._failure:
                raise self._failure
            return events, over and not (events and self._failure)

    def _next(self) -> Event | None:
        with self._changed:
            self._changed.wait_for(lambda: self._unread or self._ended or self._cancelled)
            if self._unread:
                event = self._unread.popleft()
                self._unread_bytes -= _size(event)
                self._changed.notify_all()
                return event
            if self._failure:
                raise self._failure
            return None

    def _forget_unread(self) -> None:
        self._unread.clear()
        self._unread_bytes = 0
        self._changed.notify_all()

    def _run(self) -> None:
        failure = None
        try:
            with closing(self._source) as events:
                for event in events:
                    if not self._put(event):
                        break
        except BaseException as exc:
            failure = exc
        with self._changed:
            self._ended = True
            self._failure = self._failure or (None if self._cancelled else failure)
            self._changed.notify_all()
        if self._when_ended:
            self._when_ended(self)
        self._wake()

    def _put(self, event: Event) -> bool:
        with self._changed:
            if not self._cancelled:
                self._unread.append(event)
                self._unread_bytes += _size(event)
                self._changed.notify_all()
        self._wake()
        with self._changed:
            self._changed.wait_for(self._may_go_on, STALL_S)
            return not self._cancelled and self._may_go_on()

    def _may_go_on(self) -> bool:
        return self._cancelled or self._unread_bytes <= MAX_UNREAD_BYTES


def _size(event: Event) -> int:
    return event.waveform.nbytes if isinstance(event, AudioDelta) else _EVENT_BYTES
