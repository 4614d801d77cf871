"""Text to speech: POST /audio/speech."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import httpx
from pydantic import ValidationError

from kimi_demo.engine.remote.replies import Ending, Increment, read, reason, samples
from kimi_demo.engine.remote.server import Server, refused
from kimi_demo.engine.remote.tally import Tally
from kimi_demo.errors import EngineError
from kimi_demo.events import Event, Started
from kimi_demo.messages import Request, TextPart
from kimi_demo.wire import sse
from kimi_demo.wire.speech import SpeechRequest

ADDRESS = "/audio/speech"


def spoken(server: Server, request: Request) -> AsyncGenerator[Event, None]:
    """The text of the request, read aloud. Raises: InputError for what cannot be asked."""
    try:
        return _spoken(server, _body(server, request))
    except ValidationError as exc:
        raise refused(exc) from exc


def _body(server: Server, request: Request) -> SpeechRequest:
    parts = request.messages[-1].parts
    body = SpeechRequest(
        input="".join(part.text for part in parts if isinstance(part, TextPart)),
        model=server.speech_model,
        voice=server.voice,
        response_format="pcm",
    )
    if not server.ours:
        return body
    sampling = request.sampling.audio
    additions = {
        "stream_format": "sse",  # which says at its end what was used
        "seed": request.seed,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        **({"language": request.language} if request.language else {}),
    }
    return SpeechRequest(**body.model_dump(exclude_unset=True), **additions)


async def _spoken(server: Server, body: SpeechRequest) -> AsyncGenerator[Event, None]:
    tally = Tally()
    content = body.model_dump(mode="json", exclude_unset=True)
    async with server.connection.posted(ADDRESS, json=content) as response:
        yield Started(0)
        told = _events(response, tally) if server.ours else _bytes(response, tally)
        async for event in told:
            yield event


async def _bytes(response: httpx.Response, tally: Tally) -> AsyncIterator[Event]:
    async for content in response.aiter_bytes():
        for sound in tally.sound(content):
            yield sound
    yield tally.finished()


async def _events(response: httpx.Response, tally: Tally) -> AsyncIterator[Event]:
    async for value in sse.values(response):
        increment = read(Increment, value)
        for sound in tally.sound(samples(increment.audio)):
            yield sound
        for words in tally.text(increment.delta):
            yield words
        if increment.type == "speech.audio.done":
            yield _finished(read(Ending, value), tally)
            return
    raise EngineError("the server's speech broke off: send the request again")


def _finished(ending: Ending, tally: Tally) -> Event:
    made = ending.usage.made if ending.usage else 0
    audio = tally.spoken_tokens(made)
    prompt = ending.usage.read if ending.usage else 0
    return tally.finished(reason(ending.finish_reason), prompt, made - audio, audio)
