"""Server-sent events as OpenAI's endpoints send them: data lines, then `[DONE]`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
from httpx_sse import EventSource, SSEError
from pydantic import BaseModel

from kimi_demo.errors import EngineError
from kimi_demo.wire.errors import reply_to, told

MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": still at work\n\n"  # a comment: clients skip it, proxies do not hang up


def event(value: BaseModel) -> bytes:
    """One value on the wire, as far as it was set: what is not new is left out."""
    return b"data: " + value.model_dump_json(exclude_unset=True).encode() + b"\n\n"


def failure(exc: Exception) -> bytes:
    """An error after the reply has begun."""
    return b"data: " + reply_to(exc).model_dump_json().encode() + b"\n\n"


async def values(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a streamed reply, up to [DONE] or its end.

    Raises: the error that the server tells, or EngineError if the reply is no such stream.
    """
    try:
        async for found in EventSource(response).aiter_sse():
            if found.data.startswith("[DONE]"):
                return
            if not found.data:
                continue
            value = json.loads(found.data)
            if not isinstance(value, dict):
                raise EngineError("the server sent an event that is no object")
            fields = cast(dict[str, Any], value)
            if fields.get("error"):
                raise told(0, fields)
            yield fields
    except (SSEError, ValueError) as exc:
        raise EngineError(f"the server's reply is no stream of events: {exc}") from exc
