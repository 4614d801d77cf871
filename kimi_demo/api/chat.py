"""POST /chat/completions: the next turn of a conversation, written or spoken."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from kimi_demo.api.bodies import JsonRoute
from kimi_demo.api.chat_reply import ChatReply
from kimi_demo.api.chat_request import Wanted, unheeded, wanted_of
from kimi_demo.api.chat_stream import chunks
from kimi_demo.api.service import Caller, Calling, Computing, Service, ignored
from kimi_demo.api.streaming import (
    LiveResponse,
    on_thread,
    read_up_to,
    running,
    sse_lines,
    unless_gone,
    whole,
)
from kimi_demo.events import AudioDelta, Event, Started, collect
from kimi_demo.intents import heard_s
from kimi_demo.wire import sse
from kimi_demo.wire.chat import ChatCompletion, ChatRequest
from kimi_demo.wire.conversation import blamed, sounds_in

router = APIRouter(tags=["chat"], route_class=JsonRoute)

_EVENTS = {
    "schema": {"type": "string"},
    "example": 'data: {"object":"chat.completion.chunk",...}\n\ndata: [DONE]\n\n',
}
_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; or, with `stream`, server-sent events with its pieces. The "
        "header `x-ignored` names what had no effect.",
        "content": {sse.MEDIA_TYPE: _EVENTS},
    }
}


@router.post(
    "/chat/completions",
    summary="The next turn of a conversation",
    response_model=ChatCompletion,
    responses=_REPLIES,
)
async def complete(
    chat: ChatRequest, request: Request, service: Computing, caller: Calling
) -> Response:
    """Answers what the user wrote or said, in words or in words and speech.

    A last message with both words and sounds is a question about the sounds. Answers of before are
    sent again as text, or by the `audio.id` of their reply, which keeps how they sounded. The model
    is told again as much of the conversation as it remembers; older turns are not read."""
    service.check_model(chat.model)
    tasks = service.engine.capabilities.tasks
    reply = ChatReply(chat, await _wanted(chat, service, caller), service.answers, caller.name)
    headers = {"cache-control": "no-store", **ignored(unheeded(chat, tasks))}
    with blamed("messages"):
        job = await unless_gone(request, service.begun(reply.wanted.intent))
    events = _accounted(running(job), reply.wanted, caller)
    if chat.stream:
        return await _streamed(request, events, reply, headers)
    answer = collect(await unless_gone(request, whole(events)))
    completion = await run_in_threadpool(reply.completion, answer)  # the sound is encoded
    return Response(completion.model_dump_json(), 200, headers, "application/json")


async def _wanted(chat: ChatRequest, service: Service, caller: Caller) -> Wanted:
    """Only sounds wait for others that are decoded."""
    find = partial(service.answers.find, owner=caller.name)
    read = partial(wanted_of, chat, service.engine.capabilities.tasks, find)
    return await (service.decoded(read) if sounds_in(chat.messages) else on_thread(read))


async def _streamed(
    request: Request, events: AsyncGenerator[Event, None], reply: ChatReply, headers: dict[str, str]
) -> Response:
    told = chunks(events, reply)
    begun = await unless_gone(request, read_up_to(told, bool))
    lines = sse_lines(begun, lambda found: found)
    return LiveResponse(lines, 200, headers, sse.MEDIA_TYPE)


async def _accounted(
    events: AsyncGenerator[Event, None], wanted: Wanted, caller: Caller
) -> AsyncGenerator[Event, None]:
    """The same events; the caller's account has the sounds, however it ends."""
    async with aclosing(events):
        async for event in events:
            match event:
                case Started():
                    caller.used(heard_s=heard_s(wanted.intent))
                case AudioDelta() if wanted.speaks:
                    caller.used(made_s=len(event.waveform) / event.sample_rate)
                case _:
                    pass
            yield event
