"""GET /realtime: live conversation over a WebSocket; and POST /realtime/client_secrets."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from kimi_demo.api.aliases import check_voice
from kimi_demo.api.bodies import JsonRoute
from kimi_demo.api.keys import ANYBODY
from kimi_demo.api.middleware import accept_socket, refuse_socket
from kimi_demo.api.service import Caller, Calling, Computing, Service
from kimi_demo.api.streaming import on_thread, running
from kimi_demo.errors import EngineAway, EngineBusy, InputError, KimiError, TooLarge
from kimi_demo.events import AudioDelta, Started
from kimi_demo.intents import heard_s
from kimi_demo.realtime import told
from kimi_demo.realtime.formats import SoundReader, SoundWriter
from kimi_demo.realtime.session import Abandon, Begin, Output, Play, Session
from kimi_demo.realtime.smart_turn import judge_for
from kimi_demo.realtime.transcripts import Write
from kimi_demo.realtime.turns import TurnDetector
from kimi_demo.wire.realtime import (
    BufferAppend,
    ClientEvent,
    SecretReply,
    SecretRequest,
    SessionConfig,
    SessionUpdate,
    client_event,
    without_turns,
)

router = APIRouter(tags=["realtime"], route_class=JsonRoute)
logger = logging.getLogger(__name__)
MAX_SESSION_S = 3600
MAX_FRAME_CHARS = 2 * 2**20  # of one event; forty seconds of sound
MAX_UNREAD_FRAMES = 16
MAX_UNSENT_BYTES = 32 * 2**20
_EVENT_BYTES = 500  # of one without sound, about
SEND_PATIENCE_S = 30.0  # a reader that takes nothing for so long is gone
TICK_S = 0.2
LOADING_PATIENCE_S = 600.0
GOING_AWAY = 1001


@router.post("/realtime/client_secrets", summary="A key for one page", response_model=SecretReply)
async def create_secret(wanted: SecretRequest, service: Computing, caller: Calling) -> SecretReply:
    """A key that begins with `ek_` and expires, for a browser that talks with `/realtime`."""
    config = SessionConfig().updated(wanted.session)
    seconds = wanted.expires_after.seconds
    secret = service.secrets.mint(caller.name, seconds, wanted.session)
    model = service.engine.capabilities.model
    session = told.session(config, new_id("sess"), model, secret.expires_at)
    return SecretReply(value=secret.value, expires_at=secret.expires_at, session=session)


@router.websocket("/realtime")
async def converse(socket: WebSocket) -> None:
    """One conversation, until either side ends it."""
    service: Service = socket.app.state.service
    await accept_socket(socket)
    state = socket.scope.get("state", {})
    caller = Caller(state.get("caller", ANYBODY), service.metrics)
    try:
        if service.away:
            raise EngineAway(service.away)
        model = socket.query_params.get("model")
        if model:
            service.check_model(model)
        config = SessionConfig().updated(state.get("session", {}))
        async with service.rooms.entered():
            await _Connection(socket, service, caller, config).run()
    except (WebSocketDisconnect, ConnectionError):
        pass
    except TimeoutError:
        logger.warning("a live conversation ended: its client reads nothing")
    except KimiError as exc:
        await refuse_socket(socket, exc)


class _Connection:
    """Carries events between a socket, the session's machine and the engine's jobs.

    Everything that touches the machine runs on the event loop; nothing is awaited between an event
    and what comes of it, so that what was cut off can never overtake the cut.
    """

    def __init__(
        self, socket: WebSocket, service: Service, caller: Caller, config: SessionConfig
    ) -> None:
        self._socket, self._service, self._caller = socket, service, caller
        capabilities = service.engine.capabilities
        self._id, self._model = new_id("sess"), capabilities.model
        self._expires_at = int(time.time()) + MAX_SESSION_S
        self._session = Session(config, capabilities.tasks, new_id)
        self._reader = SoundReader(config.audio.input.format)
        self._detector: TurnDetector | None = None
        self._writers: dict[str, SoundWriter] = {}  # by response
        self._jobs: dict[int | str, asyncio.Task[None]] = {}
        self._frames: asyncio.Queue[str | bytes | None] = asyncio.Queue(MAX_UNREAD_FRAMES)
        self._unsent: deque[dict[str, Any] | Play] = deque()
        self._unsent_bytes = 0
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Until the client leaves, the time is over, or the server ends."""
        try:
            await _first_of(self._receive, self._live)
        finally:
            jobs = list(self._jobs.values())
            self._do(self._session.close())
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _live(self) -> None:
        await self._warmed()
        self._configure(self._session.config)
        self._say({"type": "session.created", "session": self._described()})
        await _first_of(self._read, self._send, self._tick)

    async def _warmed(self) -> None:
        """The model is there and has spoken once, so that the first answer is no slower."""
        engine, deadline = self._service.engine, time.monotonic() + LOADING_PATIENCE_S
        while (status := engine.status).phase == "loading" and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        if status.phase != "ready":
            raise EngineBusy(status.note or "the model is not loaded yet: try again", 10)
        await self._service.warmed()

    async def _receive(self) -> None:
        """Takes frames in beside all else, so that a client that leaves is noticed."""
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            frame = message.get("text") or message.get("bytes") or ""
            await self._frames.put(frame if len(frame) <= MAX_FRAME_CHARS else None)

    async def _read(self) -> None:
        while True:
            frame = await self._frames.get()
            while self._unsent_bytes > MAX_UNSENT_BYTES:  # answers to what is asked pile up
                await asyncio.sleep(TICK_S)
            try:
                event = _event_in(frame)
            except InputError as exc:
                self._do([told.error(exc)])
                continue
            if isinstance(event, BufferAppend):
                await self._hear(event)
                continue
            before = self._session.config
            try:
                if isinstance(event, SessionUpdate):
                    event = self._possible(event)
            except InputError as exc:
                self._do([told.error(exc, event.event_id)])
                continue
            self._do(self._session.receive(event, _now_ms()))
            if self._session.config is not before:
                self._configure(self._session.config, before)

    def _possible(self, event: SessionUpdate) -> SessionUpdate:
        """The update, as far as it can be followed here. Where what judges turns is missing, that
        is said and all else holds: clients ask for such turns by themselves.

        Raises: InputError for a voice or a model that is not here.
        """
        config = self._session.config.updated(event.session)
        check_voice(told.voice_name(config), "session.audio.output.voice")
        if config.model is not None:
            self._service.check_model(config.model)
        try:
            judge_for(config.turns)
        except InputError as exc:
            self._do([told.error(exc, event.event_id)])
            return event.model_copy(update={"session": without_turns(event.session)})
        return event

    async def _hear(self, event: BufferAppend) -> None:
        try:
            samples = self._reader.read(event.audio)
        except InputError as exc:
            self._do([told.error(exc, event.event_id)])
            return
        self._do(self._session.append(samples))
        if self._detector:
            detector = self._detector
            for found in await on_thread(detector.push, samples):
                if detector is self._detector:
                    self._do(self._session.detect(found, _now_ms()))

    def _configure(self, config: SessionConfig, before: SessionConfig | None = None) -> None:
        if before is None or config.audio.input.format != before.audio.input.format:
            self._reader = SoundReader(config.audio.input.format)
        if before is None or config.turns != before.turns:
            turns = config.turns
            since_ms = self._session.heard_ms
            self._detector = TurnDetector(turns, judge_for(turns), since_ms) if turns else None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._do(self._session.tick(_now_ms()))
            if time.time() >= self._expires_at:
                minutes = MAX_SESSION_S // 60
                self._say(told.error(InputError(f"a session ends after {minutes} minutes")))
                await asyncio.sleep(TICK_S)
                await self._socket.close(GOING_AWAY, "session expired")
                return

    # Outputs of the machine.

    def _do(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Begin(generation, intent):
                    self._work(generation, self._answer(generation, intent))
                case Write(item_id, intent):
                    self._work(item_id, self._write(item_id, intent))
                case Abandon(generation):
                    self._abandon(generation)
                case Play():
                    self._queue(output)
                case {"type": "session.updated"}:
                    self._say({**output, "session": self._described()})
                case _:
                    self._say(output)

    def _say(self, event: dict[str, Any]) -> None:
        self._queue({"event_id": new_id("event"), **event})

    def _queue(self, output: dict[str, Any] | Play) -> None:
        self._unsent.append(output)
        self._unsent_bytes += _size(output)
        self._more.set()

    def _abandon(self, generation: int) -> None:
        """Stops the job; what it made and nobody was sent yet is gone."""
        if job := self._jobs.pop(generation, None):
            job.cancel()
        stale = [o for o in self._unsent if isinstance(o, Play) and o.generation == generation]
        for play in stale:
            self._unsent.remove(play)
            self._unsent_bytes -= _size(play)

    def _work(self, key: int | str, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._jobs[key] = task
        task.add_done_callback(partial(self._forget, key))

    def _forget(self, key: int | str, task: asyncio.Task[None]) -> None:
        if self._jobs.get(key) is task:
            del self._jobs[key]

    async def _answer(self, generation: int, intent: Any) -> None:
        try:
            job = await self._service.begun(intent)
            async with aclosing(running(job)) as events:
                async for event in events:
                    match event:
                        case Started():
                            self._caller.used(heard_s=heard_s(intent))
                        case AudioDelta():
                            made_s = len(event.waveform) / event.sample_rate
                            self._caller.used(made_s=made_s)
                        case _:
                            pass
                    self._do(self._session.take(generation, event, _now_ms()))
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            if not isinstance(exc, KimiError):
                logger.exception("an answer of a live conversation failed")
            self._do(self._session.fail(generation, exc, _now_ms()))

    async def _write(self, item_id: str, intent: Any) -> None:
        try:
            job = await self._service.begun(intent)
            async with aclosing(running(job)) as events:
                async for event in events:
                    self._do(self._session.take_transcript(item_id, event))
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            if not isinstance(exc, KimiError):
                logger.exception("a transcript of a live conversation failed")
            self._do(self._session.fail_transcript(item_id, exc))

    # To the client.

    async def _send(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._unsent:
                output = self._unsent.popleft()
                for event in self._events(output):
                    await asyncio.wait_for(self._socket.send_json(event), SEND_PATIENCE_S)
                self._unsent_bytes -= _size(output)

    def _events(self, output: dict[str, Any] | Play) -> Iterator[dict[str, Any]]:
        """An output as it is sent; in front of the end of a sound what its writer held back."""
        if isinstance(output, Play):
            form = self._session.config.audio.output.format
            writer = self._writers.setdefault(output.ids["response_id"], SoundWriter(form))
            yield from _delta(output.ids, writer.write(output.waveform, output.sample_rate))
            return
        if output["type"] == "response.output_audio.done":
            writer = self._writers.pop(output["response_id"], None)
            ids = {
                name: value for name, value in output.items() if name not in ("event_id", "type")
            }
            yield from _delta(ids, writer.rest() if writer else "")
        yield output

    def _described(self) -> dict[str, Any]:
        return told.session(self._session.config, self._id, self._model, self._expires_at)


def _event_in(frame: str | bytes | None) -> ClientEvent:
    """frame: None for one that was too long to be kept. Raises: InputError."""
    if frame is None:
        most = MAX_FRAME_CHARS // 2**20
        raise TooLarge(f"an event has more than {most} MB: send less sound in each")
    return client_event(frame)


def _delta(ids: dict[str, Any], sound: str) -> Iterator[dict[str, Any]]:
    """sound: in base64, as it is encoded for the client; nothing is sent of none."""
    if sound:
        kind = "response.output_audio.delta"
        yield {"event_id": new_id("event"), "type": kind, **ids, "delta": sound}


def _size(output: dict[str, Any] | Play) -> int:
    """Bytes that it takes while it waits to be sent, about."""
    if isinstance(output, Play):
        return output.waveform.nbytes
    if output["type"] != "conversation.item.retrieved":
        return _EVENT_BYTES
    return _EVENT_BYTES + sum(len(c.get("audio", "")) for c in output["item"]["content"])


async def _first_of(*works: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Does them all until one ends; then no other goes on. Raises: what that one does."""
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def new_id(kind: str) -> str:
    """An id that nobody can guess, for a kind of thing."""
    return f"{kind}_{secrets.token_hex(10)}"


def _now_ms() -> float:
    return time.monotonic() * 1000
