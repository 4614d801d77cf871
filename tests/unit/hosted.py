"""A server that speaks like the hosted service: strict about what it does not know, generous with
fields of its own, and every now and then in trouble.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from kimi_demo.audio import Audio, to_int16

KEY = "sk-the-secret-one"
RATE = 24_000
SOUND = (0.4 * np.sin(np.arange(RATE) / 9)).astype(np.float32)
PCM = to_int16(SOUND).tobytes()
HEARD = Audio(SOUND[::2].copy(), RATE // 2)
KNOWN_ID, OLD_ID = "audio_known", "audio_expired"
SPEECH_FIELDS = "input model voice instructions response_format speed stream_format"
FORM_FIELDS = "file model prompt response_format temperature"
CHAT_FIELDS = "model messages modalities audio stream stream_options seed max_completion_tokens"
FIELDS = {
    "speech": SPEECH_FIELDS,
    "transcriptions": f"{FORM_FIELDS} language stream",
    "translations": FORM_FIELDS,
    "completions": CHAT_FIELDS,
}


class Hosted:
    """Answers by what it is asked, and remembers it. left: somebody hung up before the end."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.left = threading.Event()

    def app(self) -> Starlette:
        routes = [
            Route("/v1/models", self.models),
            Route("/v1/audio/speech", self.speech, methods=["POST"]),
            Route("/v1/audio/transcriptions", self.transcriptions, methods=["POST"]),
            Route("/v1/audio/translations", self.transcriptions, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/page/models", lambda _: HTMLResponse("<p>Welcome</p>")),
            Route("/moved/models", lambda _: RedirectResponse("http://other.test/v1/models")),
            Route("/odd/models", lambda _: JSONResponse({"data": [{"about": {"label": 7}}]})),
        ]
        return Starlette(routes=routes)

    async def models(self, request: HttpRequest) -> Response:
        if refusal := _refusal(request, {}):
            return refusal
        listed = [{"id": "gpt-audio", "object": "model", "created": 1, "owned_by": "system"}]
        return JSONResponse({"object": "list", "data": listed})

    async def speech(self, request: HttpRequest) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        if refusal := _refusal(request, asked):
            return refusal
        if asked["input"] == "wait":
            return await self._waiting(request)
        return StreamingResponse(self._sound(asked["input"]), media_type="audio/pcm")

    async def transcriptions(self, request: HttpRequest) -> Response:
        async with request.form() as form:
            asked = {**form, "file": await form["file"].read()}
        self.asked.append(asked)
        if refusal := _refusal(request, asked):
            return refusal
        if asked["model"] == "whisper-1":
            return JSONResponse({"text": "the cat", "usage": {"type": "duration", "seconds": 1}})
        return _events(
            {"type": "transcript.text.delta", "delta": "the ", "logprobs": []},
            {"type": "transcript.text.delta", "delta": "cat"},
            {
                "type": "transcript.text.done",
                "text": "the cat",
                "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 2},
            },
        )

    async def chat(self, request: HttpRequest) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        if refusal := _refusal(request, asked):
            return refusal
        if any(m.get("audio", {}).get("id") == OLD_ID for m in asked["messages"]):
            return _error(404, "Audio with ID 'audio_expired' not found.", code="audio_not_found")
        content = asked["messages"][-1]["content"]
        words = content if isinstance(content, str) else content[0].get("text", "")
        speaks = "audio" in asked["modalities"]
        return _events(*_chunks(words, speaks))

    async def _waiting(self, request: HttpRequest) -> Response:
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        self.left.set()
        return Response()

    async def _sound(self, words: str):
        try:
            for start in range(0, len(PCM), 4097):
                yield PCM[start : start + 4097]
                if words == "break off":
                    await asyncio.sleep(0.05)  # so that the first bytes are sent
                    raise ConnectionError
                while words == "stall":
                    await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.left.set()
            raise


def known(path: str) -> set[str]:
    return set(FIELDS.get(path.rsplit("/", 1)[-1], "").split())


def _refusal(request: HttpRequest, asked: dict) -> Response | None:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        sent = request.headers.get("authorization", "")
        return _error(401, f"Incorrect API key provided: {sent}", code="invalid_api_key")
    if unknown := sorted(set(asked) - known(request.url.path)):
        return _error(400, f"Unrecognized request argument: {unknown[0]}", param=unknown[0])
    match asked.get("input"):
        case "too much":
            return _error(429, "Rate limit reached.", headers={"retry-after": "7"})
        case "crash":
            return HTMLResponse("<h1>Bad gateway</h1>", 502)
    return None


def _error(status: int, message: str, headers=None, param=None, code=None) -> Response:
    detail = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": detail}, status, headers)


def _events(*values: dict) -> Response:
    async def lines():
        for value in values:
            yield f"data: {json.dumps(value)}\r\n\r\n".encode()
        if values[-1].get("last") is None:
            yield b"data: [DONE]\r\n\r\n"

    return StreamingResponse(lines(), media_type="text/event-stream; charset=utf-8")


def _chunks(words: str, speaks: bool) -> Iterator[dict]:
    """In the order that the hosted service has."""
    match words:
        case "fail midway":
            yield _chunk({"role": "assistant", "content": "I"})
            yield {"error": {"message": "The server had an error.", "type": "server_error"}}
        case "end early":
            yield _chunk({"role": "assistant", "content": "I"}) | {"last": True}
        case "wrong types":
            yield {"choices": [{"delta": {"content": 7}}]}
        case "no base64":
            yield _chunk({"audio": {"data": "%"}})
        case _ if speaks:
            yield from _spoken_chunks()
        case _:
            yield _chunk({"role": "assistant", "content": "", "refusal": None})
            yield _chunk({"content": "(B) a d"})
            yield _chunk({"content": "og"})
            yield _chunk({}, "stop")
            usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
            yield {"choices": [], "usage": usage, "obfuscation": "x"}


def _spoken_chunks() -> Iterator[dict]:
    yield _chunk({"role": "assistant", "content": None, "refusal": None})
    yield _chunk({"audio": {"id": KNOWN_ID, "transcript": "It is "}})
    yield _chunk({"audio": {"transcript": "Paris."}})
    for start in range(0, len(PCM), 4801):
        data = base64.b64encode(PCM[start : start + 4801]).decode()
        yield _chunk({"audio": {"data": data}})
    yield _chunk({"audio": {"expires_at": 1}})
    yield _chunk({}, "stop")
    details = {"audio_tokens": 20, "text_tokens": 5, "accepted_prediction_tokens": 0}
    usage = {"prompt_tokens": 11, "completion_tokens": 25, "completion_tokens_details": details}
    yield {"choices": [], "usage": usage}


def _chunk(delta: dict, finish_reason: str | None = None) -> dict:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return {"id": "1", "created": 1, "model": "m", "choices": [choice], "service_tier": "default"}
