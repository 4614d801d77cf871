"""What every route works with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from kimi_demo.api.aliases import ALIASES
from kimi_demo.api.history import AnswerStore
from kimi_demo.api.keys import ANYBODY, NO_KEYS, Keys
from kimi_demo.api.secrets import Secrets
from kimi_demo.api.streaming import on_thread, running, whole
from kimi_demo.engine.base import Engine
from kimi_demo.engine.job import Job
from kimi_demo.errors import EngineAway, EngineBusy, UnknownName
from kimi_demo.intents import Intent, Speak
from kimi_demo.metrics import Metrics

T = TypeVar("T")
DECODED_AT_ONCE = 2
TALKING_AT_ONCE = 16
WARMING = Speak("Hello.", max_new_tokens=16)


class Rooms:
    """How many live conversations there are at once."""

    def __init__(self, most: int = TALKING_AT_ONCE) -> None:
        self._most = most
        self.taken = 0
        self.warm = False
        self.warming = asyncio.Lock()

    @asynccontextmanager
    async def entered(self) -> AsyncGenerator[None]:
        """Raises: EngineBusy if all are taken."""
        if self.taken >= self._most:
            raise EngineBusy(f"{self.taken} people talk with it already: try again in a minute", 60)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


@dataclass(frozen=True)
class Service:
    """One server. away: why nothing can be computed here; empty where it can."""

    engine: Engine
    metrics: Metrics = field(default_factory=Metrics)
    keys: Keys = NO_KEYS
    answers: AnswerStore = field(default_factory=AnswerStore)
    aliases: tuple[str, ...] = ALIASES
    away: str = ""
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DECODED_AT_ONCE))
    secrets: Secrets = field(default_factory=Secrets)
    rooms: Rooms = field(default_factory=Rooms)
    started: int = field(default_factory=lambda: int(time.time()))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the model, its own first."""
        return tuple(dict.fromkeys((self.engine.capabilities.model, *self.aliases)))

    async def decoded(self, work: Callable[[], T]) -> T:
        """What reads sounds, on a thread; few at a time, for an hour of sound fills 230 MB."""
        async with self.decoding:
            return await on_thread(work)

    async def begun(self, intent: Intent) -> Job:
        """A job of the engine, which is none if whoever wants it leaves meanwhile. Cutting a text
        or a sound takes a while. Raises: what `Engine.start` does."""
        starting = asyncio.ensure_future(run_in_threadpool(self.engine.start, intent))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait({starting})
            if not starting.exception():
                starting.result().cancel()
            raise

    async def warmed(self) -> None:
        """The model has spoken once, so that nobody's first answer is slower than the next.

        Raises: what an answer may.
        """
        async with self.rooms.warming:
            if not self.rooms.warm:
                await whole(running(await self.begun(WARMING)))
                self.rooms.warm = True

    def close(self) -> None:
        self.engine.close()
        self.answers.close()

    def check_model(self, name: str) -> None:
        """Raises: UnknownName if nothing here is called so."""
        if name not in self.names:
            raise UnknownName(
                f"there is no model {name!r} here: use {self.names[0]!r}, or see GET /v1/models",
                param="model",
                code="model_not_found",
            )


@dataclass(frozen=True)
class Caller:
    """Who calls, and what it has used."""

    name: str
    metrics: Metrics

    def used(self, heard_s: float = 0.0, made_s: float = 0.0) -> None:
        for direction, seconds in (("in", heard_s), ("out", made_s)):
            self.metrics.key_audio_s.labels(self.name, direction).inc(seconds)


def service_of(request: Request) -> Service:
    return request.app.state.service


def computing_service(request: Request) -> Service:
    """The same, for what needs the model. Raises: EngineAway where that is not to be had."""
    service = service_of(request)
    if service.away:
        raise EngineAway(service.away)
    return service


def caller_of(request: Request) -> Caller:
    """Whose key came with the request; see `middleware.Guard`."""
    name = request.scope.get("state", {}).get("caller", ANYBODY)
    return Caller(name, service_of(request).metrics)


Serving = Annotated[Service, Depends(service_of)]
Computing = Annotated[Service, Depends(computing_service)]
Calling = Annotated[Caller, Depends(caller_of)]


def ignored(values: Mapping[str, object]) -> dict[str, str]:
    """The header that names what was given and has no effect here."""
    names = ", ".join(name for name, value in values.items() if value)
    return {"x-ignored": names} if names else {}
