"""Jobs are read here for async replies; whoever goes away cancels what it has asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from kimi_demo.api.middleware import REQUEST_ID
from kimi_demo.engine.job import Job
from kimi_demo.errors import KimiError
from kimi_demo.events import Event
from kimi_demo.wire import sse

T = TypeVar("T")
logger = logging.getLogger(__name__)
KEEP_ALIVE_S = 10.0
SEND_PATIENCE_S = 60.0  # a reader that takes nothing for so long is gone


class ClientGone(Exception):
    """Nobody waits for the reply any more."""


async def running(job: Job) -> AsyncGenerator[Event, None]:
    """The events of a job; closing this cancels it. Raises: whatever the job does."""
    arrived, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # the server is gone
            loop.call_soon_threadsafe(arrived.set)

    job.listen(wake)
    try:
        while True:
            events, over = job.take()
            for event in events:
                yield event
            if over:
                return
            if not events:
                await arrived.wait()
                arrived.clear()
    finally:
        job.cancel()


async def whole(events: AsyncGenerator[T, None]) -> list[T]:
    async with aclosing(events):
        return [event async for event in events]


async def on_thread(work: Callable[..., T], *args: Any) -> T:
    """Work that takes a while. A thread cannot be stopped: who cancels this waits for its end."""
    working = asyncio.ensure_future(run_in_threadpool(work, *args))
    try:
        return await asyncio.shield(working)
    finally:
        await asyncio.wait({working})


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
    async with aclosing(rest):
        for event in seen:
            yield event
        async for event in rest:
            yield event


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
            content: object = self.body_iterator
            if isinstance(content, AsyncGenerator):
                await content.aclose()


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


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
