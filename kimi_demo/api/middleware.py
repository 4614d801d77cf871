"""What surrounds every route of the API: an id for each request, keys, and a limit of bytes."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from kimi_demo.api.keys import Keys
from kimi_demo.api.secrets import PREFIX as SECRET_PREFIX
from kimi_demo.api.secrets import Secrets
from kimi_demo.errors import EngineBusy, KimiError, TooLarge
from kimi_demo.metrics import Metrics
from kimi_demo.wire.errors import headers_for, kind_of, reply_to

# Of the request in work, for the log.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="unknown")
logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 100 * 2**20
READ_BY_PAGES = "x-request-id, x-ignored, retry-after"  # of other sites, where they may call
# Of sockets: the protocol, what stands before a key that is sent as one, and close codes.
PROTOCOL, KEY_PROTOCOL = "realtime", "openai-insecure-api-key."
REFUSED, TRY_LATER = 1008, 1013
MAX_REASON_BYTES = 120  # of a close; all are ASCII
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def error_response(exc: Exception) -> Response:
    return JSONResponse(reply_to(exc).model_dump(), kind_of(exc).status, headers_for(exc))


async def refuse_socket(socket: WebSocket, exc: Exception) -> None:
    """An error event, for people, and a close code that clients act on."""
    if socket.application_state is WebSocketState.CONNECTING:
        await accept_socket(socket)
    code = TRY_LATER if isinstance(exc, EngineBusy) else REFUSED
    with suppress(RuntimeError, WebSocketDisconnect):  # the client is gone
        event_id = f"event_{secrets.token_hex(10)}"
        await socket.send_json(
            {"type": "error", "event_id": event_id, **reply_to(exc).model_dump()}
        )
        await socket.close(code, str(exc)[:MAX_REASON_BYTES])


async def accept_socket(socket: WebSocket) -> None:
    """With the one subprotocol that clients of live conversations expect back."""
    await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)


def _bearer(scope: Scope) -> str | None:
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


class Accounting:
    """Gives each request an id, turns what nobody caught into a reply, counts the replies.

    A client's own x-request-id is kept, if it has a plain form.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"
        REQUEST_ID.set(request_id)
        begun = False

        async def answered(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["access-control-expose-headers"] = READ_BY_PAGES
                self._count(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, answered)
        except Exception as exc:
            logger.exception("request %s failed", request_id)
            if begun:
                raise  # the connection breaks off: what was sent is not all
            await error_response(exc)(scope, receive, answered)

    def _count(self, scope: Scope, status: int) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self._metrics.http_responses.labels(route, str(status)).inc()


class Guard:
    """Lets in who has a key; says in the scope whose it is. For sockets a client secret will do,
    and both may come as a subprotocol, since a browser can send no header there.
    """

    def __init__(self, app: ASGIApp, keys: Keys, metrics: Metrics, secrets: Secrets) -> None:
        self._app = app
        self._keys, self._secrets = keys, secrets
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "websocket":
                known = self._known_by_socket(scope)
            else:
                known = {"caller": self._keys.name_of(_bearer(scope))}
        except KimiError as exc:
            if scope["type"] == "websocket":
                await refuse_socket(WebSocket(scope, receive, send), exc)
            else:
                await error_response(exc)(scope, receive, send)
            return
        self._metrics.key_requests.labels(known["caller"]).inc()
        scope["state"] = {**scope.get("state", {}), **known}
        await self._app(scope, receive, send)

    def _known_by_socket(self, scope: Scope) -> dict[str, Any]:
        """Raises: AccessError."""
        offered = [name for name in scope.get("subprotocols", []) if name.startswith(KEY_PROTOCOL)]
        key = offered[0].removeprefix(KEY_PROTOCOL) if offered else _bearer(scope)
        if key and key.startswith(SECRET_PREFIX):
            secret = self._secrets.find(key)
            return {"caller": secret.owner, "session": secret.session}
        return {"caller": self._keys.name_of(key)}


class BodyLimit:
    """Reads no more of a request than is taken, whatever its header says of its length."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            await error_response(self._refusal())(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Callable[[], Awaitable[Message]]:
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._refusal()
            return message

        return limited

    def _refusal(self) -> TooLarge:
        return TooLarge(
            f"the request is larger than {self._max_bytes // 2**20} MB: send a shorter sound, or "
            "one that is compressed"
        )
