"""POST /chat/completions: the next turn of a conversation, written or spoken."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from kimi_demo.api.bodies import JsonRoute
from kimi_demo.api.chat_reply import Reply
from kimi_demo.api.chat_request import Wanted, unheeded, wanted_of
from kimi_demo.api.chat_stream import chunks
from kimi_demo.api.service import Caller, Calling, Computing, Service, ignored
from kimi_demo.api.streaming import (
    LiveResponse,
    read_up_to,
    running,
    sse_lines,
    unless_gone,
    whole,
)
from kimi_demo.engine.base import Engine
from kimi_demo.events import AudioDelta, Event, Started, collect
from kimi_demo.services import retrying, stopping
from kimi_demo.wire import sse
from kimi_demo.wire.chat import ChatCompletion, ChatRequest

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
    find = partial(service.answers.find, owner=caller.name)
    wanted = await service.decoded(partial(wanted_of, chat, tasks, find))
    reply = Reply(chat, wanted, service.answers, caller.name)
    headers = {"cache-control": "no-store", **ignored(unheeded(chat, tasks))}
    if chat.stream:
        return await _streamed(request, service, caller, reply, headers)
    events = _answered(service.engine, wanted, caller, again=wanted.may_ask_again)
    answer = collect(await unless_gone(request, whole(events)))
    completion = await run_in_threadpool(reply.completion, answer)  # the sound is encoded
    return Response(completion.model_dump_json(), 200, headers, "application/json")


async def _streamed(
    request: Request, service: Service, caller: Caller, reply: Reply, headers: dict[str, str]
) -> Response:
    options = reply.chat.stream_options
    events = _answered(service.engine, reply.wanted, caller, again=False)
    told = running(chunks(events, reply, with_usage=bool(options and options.include_usage)))
    begun = await unless_gone(request, read_up_to(told, bool))
    lines = sse_lines(begun, lambda found: found)
    return LiveResponse(lines, 200, headers, sse.MEDIA_TYPE)


def _answered(
    engine: Engine, wanted: Wanted, caller: Caller, again: bool
) -> Generator[Event, None, None]:
    """The events of the answer. again: it is asked for twice if it runs on, which takes words back
    and so is not for streams.
    """
    ask = partial(retrying.stream, engine) if again else engine.stream
    events = _accounted(ask(wanted.request), wanted, caller)
    return stopping.until(events, wanted.stops)


def _accounted(
    events: Generator[Event, None, None], wanted: Wanted, caller: Caller
) -> Generator[Event, None, None]:
    """The same events; the caller's account has the sounds, however it ends."""
    with closing(events):
        for event in events:
            match event:
                case Started():
                    caller.used(heard_s=wanted.heard_s)
                case AudioDelta() if wanted.speaks:
                    caller.used(made_s=len(event.waveform) / event.sample_rate)
            yield event
