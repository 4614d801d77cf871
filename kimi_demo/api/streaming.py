"""Engines answer by generators that block; this carries them over to async replies.

A request runs on a thread of its own, which hands over what comes. It looks after every event
whether anybody still reads, and closes the generator if not: engines send events at every decode
step and while they let somebody wait, so a slot is free again at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import closing
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from kimi_demo.api.middleware import REQUEST_ID
from kimi_demo.errors import KimiError
from kimi_demo.wire import sse

T = TypeVar("T")
logger = logging.getLogger(__name__)
BUFFERED_EVENTS = 4096  # a slow reader holds no slot until so much waits for it
KEEP_ALIVE_S = 10.0
SEND_PATIENCE_S = 60.0  # a reader that takes nothing for so long is gone


class ClientGone(Exception):
    """Nobody waits for the reply any more."""


async def running(events: Generator[T, None, None]) -> AsyncGenerator[T, None]:
    """The events of a generator that runs on a thread; closing this closes it.

    Raises: whatever the generator does.
    """
    pump = _Pump(events)
    try:
        while True:
            event, failure = await pump.arrived.get()
            if failure is not None:
                raise failure
            if event is _END:
                return
            yield event
    finally:
        pump.stop()


async def whole(events: Generator[T, None, None]) -> list[T]:
    """All events of a generator that runs on a thread."""
    stream = running(events)
    try:
        return [event async for event in stream]
    finally:
        await stream.aclose()


async def read_up_to(
    stream: AsyncGenerator[T, None], wanted: Callable[[T], bool]
) -> AsyncGenerator[T, None]:
    """The stream, read up to its first wanted event, so that what fails before has a status of its
    own. If that fails, the stream is closed.
    """
    seen: list[T] = []
    try:
        async for event in stream:
            seen.append(event)
            if wanted(event):
                break
    except BaseException:
        await stream.aclose()
        raise
    return _after(seen, stream)


async def _after(seen: list[T], rest: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    try:
        for event in seen:
            yield event
        async for event in rest:
            yield event
    finally:
        await rest.aclose()


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of the work, which is cancelled when the client goes away.

    The request's body must have been read. Raises: ClientGone.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        leaving.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class LiveResponse(StreamingResponse):
    """A reply that is sent while it is made, and ends the making when its reader has left."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patient(message: Any) -> None:
            with anyio.fail_after(SEND_PATIENCE_S):
                await send(message)

        sending = asyncio.ensure_future(self.stream_response(patient))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            leaving.cancel()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


async def sse_lines(
    events: AsyncIterator[T], render: Callable[[T], Iterable[Any]]
) -> AsyncGenerator[bytes, None]:
    """Server-sent events: what `render` makes of each event, a comment where that is nothing for
    long, a failure as the last one, and [DONE]."""
    sent = time.monotonic()
    try:
        async for event in events:
            for value in render(event):
                sent = time.monotonic()
                yield sse.event(value)
            if time.monotonic() - sent > KEEP_ALIVE_S:
                sent = time.monotonic()
                yield sse.KEEP_ALIVE
    except Exception as exc:
        if not isinstance(exc, KimiError):
            logger.exception("request %s failed in mid-stream", REQUEST_ID.get())
        yield sse.failure(exc)
        return
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
    yield sse.DONE


_END: Any = object()


class _Pump:
    """The thread, and what it has handed over: (event, None), (None, failure) or the end."""

    def __init__(self, events: Generator[Any, None, None]) -> None:
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self.arrived: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()
        threading.Thread(target=self._run, name="answer", daemon=True).start()

    def stop(self) -> None:
        """The generator is closed after its next event."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            with closing(self._events) as events:
                for event in events:
                    if self._stopped.is_set():
                        return
                    self._hand_over(event, None)
                    self._wait_for_reader()
            self._hand_over(_END, None)
        except BaseException as exc:
            self._hand_over(None, exc)

    def _hand_over(self, event: Any, failure: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self.arrived.put_nowait, (event, failure))
        except RuntimeError:  # the server is gone
            self._stopped.set()

    def _wait_for_reader(self) -> None:
        while self.arrived.qsize() > BUFFERED_EVENTS and not self._stopped.wait(0.05):
            pass


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
