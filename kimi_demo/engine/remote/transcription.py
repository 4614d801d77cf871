"""Speech to text: POST /audio/transcriptions and /audio/translations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx

from kimi_demo.engine.remote.replies import Ending, Increment, read, reason
from kimi_demo.engine.remote.server import Server, drawn
from kimi_demo.engine.remote.tally import Tally
from kimi_demo.errors import EngineError, PromptError
from kimi_demo.events import Event, Started
from kimi_demo.messages import AudioPart, Request
from kimi_demo.wire import sse


def written(server: Server, request: Request) -> AsyncGenerator[Event, None]:
    """What is said in the request's sound. Raises: PromptError if there is none."""
    parts = (part for message in request.messages for part in message.parts)
    sound = next((part.audio for part in parts if isinstance(part, AudioPart)), None)
    if sound is None:
        raise PromptError("there is no sound in this request: add one")
    address, fields = _addressed(server, request)
    if server.ours:
        fields |= {"stream": "true", "seed": request.seed, **drawn(request.sampling.text)}
    files = {"file": ("sound.wav", sound.wav(), "audio/wav")}
    return _written(server, address, {"data": fields, "files": files})


def _addressed(server: Server, request: Request) -> tuple[str, dict[str, Any]]:
    if request.task == "translation":  # others tell it as a whole only
        return "/audio/translations", {"model": server.translation_model, "response_format": "json"}
    fields = {"model": server.transcription_model, "response_format": "json", "stream": "true"}
    language = {"language": request.language} if request.language else {}
    return "/audio/transcriptions", fields | language


async def _written(
    server: Server, address: str, content: dict[str, Any]
) -> AsyncGenerator[Event, None]:
    tally = Tally()
    async with server.connection.posted(address, **content) as response:
        yield Started(0)
        streamed = sse.MEDIA_TYPE in response.headers.get("content-type", "")
        told = _events(response, tally) if streamed else _whole(response, tally)
        async for event in told:
            yield event


async def _whole(response: httpx.Response, tally: Tally) -> AsyncIterator[Event]:
    """Some models do not stream, whatever they are asked for."""
    await response.aread()
    try:
        ending = read(Ending, response.json())
    except ValueError as exc:
        raise EngineError("the server's transcript is no JSON") from exc
    for words in tally.text(ending.text):
        yield words
    yield _finished(ending, tally)


async def _events(response: httpx.Response, tally: Tally) -> AsyncIterator[Event]:
    nothing_yet = True
    async for value in sse.values(response):
        increment = read(Increment, value)
        if increment.type == "transcript.text.delta":
            nothing_yet = nothing_yet and not increment.delta
            for words in tally.text(increment.delta):
                yield words
        elif increment.type == "transcript.text.done":
            ending = read(Ending, value)
            for words in tally.text(ending.text if nothing_yet else ""):
                yield words
            yield _finished(ending, tally)
            return
    raise EngineError("the server's transcript broke off: send the request again")


def _finished(ending: Ending, tally: Tally) -> Event:
    usage = ending.usage
    prompt, made = (usage.read, usage.made) if usage else (0, 0)
    return tally.finished(reason(ending.finish_reason), prompt, made)
