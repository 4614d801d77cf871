"""POST /audio/speech: read aloud, encoded and sent while it is made."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from kimi_demo.api.aliases import check_voice
from kimi_demo.api.bodies import JsonRoute
from kimi_demo.api.service import Caller, Calling, Computing, Service, ignored
from kimi_demo.api.streaming import (
    LiveResponse,
    on_thread,
    read_up_to,
    running,
    sse_lines,
    unless_gone,
)
from kimi_demo.encoding import SoundEncoder
from kimi_demo.errors import EngineError
from kimi_demo.events import AudioDelta, Event, Finished, TextDelta
from kimi_demo.intents import Speak
from kimi_demo.messages import Sampling
from kimi_demo.tasks import TaskTable
from kimi_demo.wire import sse
from kimi_demo.wire.conversation import blamed
from kimi_demo.wire.progress import progress_of
from kimi_demo.wire.speech import (
    MEDIA_TYPES,
    SpeechDelta,
    SpeechDone,
    SpeechRequest,
    SpeechText,
    SpeechUsage,
)

router = APIRouter(tags=["audio"], route_class=JsonRoute)
# What goes out: bytes of the file in place of the sound, beside all else that is told.
Sent = bytes | Event

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_EVENTS = {
    "schema": {"type": "string"},
    "example": 'data: {"type":"speech.audio.delta","audio":"..."}\n\ndata: [DONE]\n\n',
}
_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sound, as it is made; or server-sent events: `speech.audio.delta` "
        "with bytes of it in base64, `speech.text.delta` "
        "(an addition) with its words, at last `speech.audio.done` with the usage. The header "
        "`x-ignored` names what had no effect.",
        "content": {**dict.fromkeys(MEDIA_TYPES.values(), _BINARY), sse.MEDIA_TYPE: _EVENTS},
    }
}


@router.post(
    "/audio/speech",
    summary="Text to speech",
    response_class=LiveResponse,
    responses=_REPLIES,
)
async def speak(
    wanted: SpeechRequest, request: Request, service: Computing, caller: Calling
) -> Response:
    """Reads a text aloud, sentence by sentence. The first bytes leave while the rest is not yet
    spoken; a failure after them ends the connection early, or is the last of the events."""
    service.check_model(wanted.model)
    check_voice(wanted.voice)
    tasks = service.engine.capabilities.tasks
    sent = _sent(service, _intent(wanted, tasks), wanted, caller)
    begun = await unless_gone(request, read_up_to(sent, _begins(wanted)))
    unheard = {} if tasks.follows_instructions else {"instructions": wanted.instructions}
    headers = {"cache-control": "no-store", **ignored(unheard)}
    if wanted.stream_format == "sse":
        told = partial(_told, with_progress=wanted.progress)
        return LiveResponse(sse_lines(begun, told), 200, headers, sse.MEDIA_TYPE)
    media_type = MEDIA_TYPES[wanted.response_format]
    return LiveResponse(_sound(begun), 200, headers, media_type)


def _intent(wanted: SpeechRequest, tasks: TaskTable) -> Speak:
    return Speak(
        wanted.input,
        wanted.language or "",
        wanted.instructions or "",
        wanted.prompt or "",
        wanted.check,
        sampling=_sampling(tasks, wanted),
        seed=wanted.seed,
    )


def _begins(wanted: SpeechRequest) -> Callable[[Sent], bool]:
    """With what the reply begins; until then a failure has a status of its own."""
    if wanted.progress and wanted.stream_format == "sse":
        return lambda _: True
    return lambda event: isinstance(event, bytes)


def _sampling(tasks: TaskTable, wanted: SpeechRequest) -> Sampling:
    """The checkpoint's own, but for what the request says."""
    given = {"temperature": wanted.temperature, "top_k": wanted.top_k}
    changes = {name: value for name, value in given.items() if value is not None}
    sampling = tasks.speech_sampling
    return dataclasses.replace(sampling, audio=dataclasses.replace(sampling.audio, **changes))


async def _sent(
    service: Service, intent: Speak, wanted: SpeechRequest, caller: Caller
) -> AsyncGenerator[Sent, None]:
    """Each piece of sound as bytes of the file. Nothing comes before there is something to hear.

    Raises: InputError, EngineBusy; EngineError if all was silence.
    """
    with blamed("input"):
        job = await service.begun(intent)
    rate = service.engine.capabilities.sample_rate
    heard, ready = False, b""
    async with aclosing(running(job)) as events:
        with closing(SoundEncoder(wanted.response_format, rate, wanted.speed)) as encoder:
            async for event in events:
                if isinstance(event, AudioDelta):
                    caller.used(made_s=len(event.waveform) / event.sample_rate)
                    heard = heard or bool(event.waveform.any())
                    ready += await on_thread(encoder.push, event.waveform)
                elif isinstance(event, Finished):
                    ready += await on_thread(_end, encoder, heard)
                if heard and ready:
                    yield ready
                    ready = b""
                if not isinstance(event, AudioDelta):
                    yield event


def _end(encoder: SoundEncoder, heard: bool) -> bytes:
    if not heard:
        raise EngineError("the model stayed silent: try again with another seed")
    return encoder.finish()


async def _sound(sent: AsyncGenerator[Sent, None]) -> AsyncGenerator[bytes, None]:
    try:
        async for event in sent:
            if isinstance(event, bytes):
                yield event
    finally:
        await sent.aclose()


def _told(event: Sent, with_progress: bool) -> Iterator[BaseModel]:
    if isinstance(event, bytes):
        audio = base64.b64encode(event).decode()
        yield SpeechDelta(type="speech.audio.delta", audio=audio)
    elif isinstance(event, TextDelta):
        yield SpeechText(type="speech.text.delta", delta=event.text)
    elif isinstance(event, Finished):
        yield SpeechDone(type="speech.audio.done", usage=_usage(event), finish_reason=event.reason)
    elif with_progress and (progress := progress_of(event)):
        yield progress


def _usage(finished: Finished) -> SpeechUsage:
    made = finished.text_tokens + finished.audio_tokens
    return SpeechUsage(
        input_tokens=finished.prompt_tokens,
        output_tokens=made,
        total_tokens=finished.prompt_tokens + made,
    )
