"""Events that are made on another thread, and a pulse while there are none."""

from __future__ import annotations

import queue
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future
from contextlib import aclosing

from kimi_demo.events import AudioDelta, Event, Queued, Started, Stepped, TextDelta
from kimi_demo.messages import CODES_PER_S

PULSE_S = 0.25  # how soon whoever waits can go away


class Arrivals:
    """Between the loop that makes events and the thread that reads them."""

    def __init__(self) -> None:
        self._arrived: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._pulse = _Pulse()

    async def take_all(self, events: AsyncGenerator[Event, None]) -> None:
        """Runs on the loop, to the end of the events or until it is cancelled."""
        async with aclosing(events):
            async for event in events:
                self._arrived.put(event)

    def until(self, task: Future[None]) -> Generator[Event, None, None]:
        """What has arrived, up to the end of the task. Raises: what the task raises."""
        task.add_done_callback(lambda _: self._arrived.put(None))
        while True:
            try:
                event = self._arrived.get(timeout=PULSE_S)
            except queue.Empty:
                yield self._pulse.event()
                continue
            if event is None:
                task.result()
                return
            self._pulse.take(event)
            yield event


class _Pulse:
    """Where the answer stands: in line until its first byte, then at so many tokens, as far as
    these can be told from outside.
    """

    def __init__(self) -> None:
        self._started = False
        self._words = 0
        self._sound_s = 0.0

    def take(self, event: Event) -> None:
        match event:
            case Started():
                self._started = True
            case TextDelta():
                self._words += 1
            case AudioDelta():
                self._sound_s += len(event.waveform) / event.sample_rate

    def event(self) -> Event:
        if not self._started:
            return Queued(1)
        return Stepped(self._words, round(self._sound_s * CODES_PER_S))
