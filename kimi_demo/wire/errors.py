"""The one table between error classes and replies, read in both directions.

{"error": {"message": "...", "type": "...", "param": "..." or null, "code": "..." or null}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, Field

from kimi_demo.errors import (
    AccessError,
    AudioError,
    EngineAway,
    EngineBusy,
    EngineError,
    InputError,
    KimiError,
    TooLarge,
    UnknownName,
)

INVALID, SERVER = "invalid_request_error", "server_error"


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str = Field(description="What happened and what to do, for people.")
    type: str = Field(description="Whose fault it is: invalid_request_error or server_error.")
    param: str | None = Field(default=None, description="The parameter to blame, if one is.")
    code: str | None = Field(default=None, description="A name of the reason, for programs.")


class ErrorReply(BaseModel):
    """The body of every reply that is no success."""

    error: ErrorDetail


@dataclass(frozen=True)
class Kind:
    """How a class of errors is told.

    retry: whether the same request may well succeed a moment later; false keeps clients, which by
    themselves try again after each 5xx, from computing the same failure twice.
    """

    status: int
    type: str
    code: str | None
    retry: bool = False


# The first class that fits counts.
KINDS: dict[type[Exception], Kind] = {
    AccessError: Kind(401, INVALID, "invalid_api_key"),
    UnknownName: Kind(404, INVALID, "not_found"),
    TooLarge: Kind(413, INVALID, "too_large"),
    AudioError: Kind(400, INVALID, "invalid_audio"),
    InputError: Kind(400, INVALID, None),
    EngineBusy: Kind(503, SERVER, "overloaded", retry=True),
    EngineAway: Kind(503, SERVER, "unavailable"),
    EngineError: Kind(500, SERVER, "engine_failed"),
    KimiError: Kind(500, SERVER, None),
    Exception: Kind(500, SERVER, "internal_error"),
}
HIDDEN = "the server failed; its log says why, under the x-request-id of this reply"


def kind_of(exc: Exception) -> Kind:
    """The table's row for an exception."""
    return next(kind for known, kind in KINDS.items() if isinstance(exc, known))


def reply_to(exc: Exception) -> ErrorReply:
    """The body that tells an exception; what is no KimiError keeps its details to itself."""
    kind = kind_of(exc)
    message = str(exc) if isinstance(exc, KimiError) else HIDDEN
    code = getattr(exc, "code", None) or kind.code
    param = getattr(exc, "param", None)
    return ErrorReply(error=ErrorDetail(message=message, type=kind.type, param=param, code=code))


def headers_for(exc: Exception) -> dict[str, str]:
    """Whether, and when, to try again; clients of OpenAI obey both."""
    kind = kind_of(exc)
    if isinstance(exc, EngineBusy):
        return {"retry-after": str(exc.retry_after_s), "x-should-retry": "true"}
    if isinstance(exc, AccessError):
        return {"www-authenticate": "Bearer"}
    return {"x-should-retry": str(kind.retry).lower()} if kind.status >= 500 else {}


def told(status: int, body: Any, headers: Mapping[str, str] | None = None) -> KimiError:
    """The exception behind a reply: the inverse of the above, lenient with servers of others.

    body: parsed JSON, or text. status 0: an error told in the middle of a stream.
    """
    fields = _fields(body)
    error = fields.get("error")
    if not error and status == 404:
        error = "the server has no such address: does the one you gave end in /v1?"
    # Frameworks have bodies of their own.
    detail = _fields(error) or {"message": error or fields.get("detail") or (not fields and body)}
    message = str(detail.get("message") or f"the server answered with status {status}")
    param, code = detail.get("param"), detail.get("code")
    found = _class_of(status, str(code), str(detail.get("type")))
    if issubclass(found, InputError):
        return found(message, param=param, code=code)
    if issubclass(found, EngineBusy):
        return found(message, _seconds((headers or {}).get("retry-after", "")))
    return found(message)


def _fields(value: Any) -> dict[str, Any]:
    """Those of a JSON object; anything else has none."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _class_of(status: int, code: str, type_: str) -> type[KimiError]:
    ours = {error: kind for error, kind in KINDS.items() if issubclass(error, KimiError)}
    for error, kind in ours.items():
        if code == kind.code and status in (0, kind.status):
            return error
    if status == 0:
        return InputError if type_ == INVALID else EngineError
    if status == 403:
        return AccessError
    if status == 429:
        return EngineBusy
    by_status = {400: InputError, 415: InputError, 422: InputError, 503: EngineBusy}
    by_status |= {kind.status: error for error, kind in ours.items() if kind.status in (401, 404)}
    by_status |= {413: TooLarge}
    return by_status.get(status, InputError if 400 <= status < 500 else EngineError)


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() else 5
