"""The API as one application, and the routes with which a page's server takes it in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount

from kimi_demo.api import chat, models, realtime, speech, transcriptions
from kimi_demo.api.health import guarded, health_routes
from kimi_demo.api.middleware import Accounting, BodyLimit, error_response
from kimi_demo.api.service import Service
from kimi_demo.api.streaming import ClientGone
from kimi_demo.errors import InputError, KimiError, UnknownName
from kimi_demo.wire.errors import ErrorReply

PREFIX = "/v1"
DESCRIPTION = """Speak, listen and converse through the client of OpenAI: set its `base_url` to this
address. What differs from the hosted service is said at each parameter; additions are called so.
Parameters that the model cannot honour are refused by name."""
NO_JSON = "the request is no JSON object: send one, and the header Content-Type: application/json"
_NOBODY_READS_IT = 499
# What pydantic puts between the names: which of several kinds it took the value for.
_KIND_OF_VALUE = re.compile(r"str|int|float|bool|none|[A-Z].*|(list|dict|function|tagged).*\]")
_TAGGED = ("messages", "content")  # their elements stand below a kind, too
ROUTERS = (speech.router, transcriptions.router, chat.router, realtime.router, models.router)
# Of every route, so that the document names them.
_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": text}
    for status, text in {
        400: "The request cannot be used as it is.",
        401: "The API key is missing or wrong.",
        404: "There is no such model, or no such answer any more.",
        413: "The request is too large.",
        500: "The server failed.",
        503: "Too many requests wait, or the model cannot be reached from here.",
    }.items()
}


def create_api(service: Service) -> FastAPI:
    """The application below /v1. Every reply that is no success has OpenAI's form."""
    api = FastAPIOffline(  # its documentation page needs no other server
        title="Kimi-Audio",
        description=DESCRIPTION,
        version="1",
        responses=_FAILURES,
        generate_unique_id_function=_named_so,
        middleware=[
            Middleware(Accounting, metrics=service.metrics),
            guarded(service),
            Middleware(BodyLimit),
        ],
        exception_handlers={
            KimiError: _refused,
            RequestValidationError: _not_valid,
            HTTPException: _not_served,
            ClientGone: _nobody,
        },
    )
    api.state.service = service
    api.openapi = partial(_document, api.openapi)  # type: ignore[method-assign]
    for router in ROUTERS:
        api.include_router(router)
    return api


def routes(service: Service) -> list[BaseRoute]:
    """For the server of the page: /v1, /health, /ready, /metrics."""
    return [Mount(PREFIX, create_api(service)), *health_routes(service)]


def _named_so(route: APIRoute) -> str:
    return route.name


def _document(written: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Without FastAPI's own reply to what is not valid, in whose place `_not_valid` comes."""
    document = written()
    for route in document["paths"].values():
        for operation in route.values():
            operation["responses"].pop("422", None)
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return document


def _refused(_: Request, exc: Exception) -> Response:
    return error_response(exc)


def _not_valid(_: Request, exc: Exception) -> Response:
    """One thing that is wrong, with the name of its parameter; first what should not be there."""
    assert isinstance(exc, RequestValidationError)
    errors = exc.errors()
    surplus = [error for error in errors if error["type"] == "extra_forbidden"]
    found = (surplus or errors)[0]
    if found["type"] in ("json_invalid", "model_attributes_type"):
        return error_response(InputError(f"{NO_JSON} ({found['msg']})", None, "invalid_json"))
    param = _named(found["loc"], surplus=bool(surplus))
    if surplus:
        refusal = InputError(f"{param} is not supported here: leave it out", param, "unsupported")
    elif found["type"] == "union_tag_invalid":
        kinds, kind = found["ctx"]["expected_tags"], found["ctx"]["tag"]
        told = f"{param}: {kind} is not supported here, only {kinds}"
        refusal = InputError(told, param, "unsupported")
    else:
        refusal = InputError(f"{param or 'the request'}: {found['msg']}", param, found["type"])
    return error_response(refusal)


def _named(places: Sequence[str | int], surplus: bool = False) -> str | None:
    """("body", "messages", 0, "user", "content", "str") -> "messages[0].content".

    surplus: the last place is a name that should not be there, whatever it looks like.
    """
    kept: list[str | int] = []
    for before, place in pairwise(places[: -1 if surplus else None]):
        if not _is_kind(place, before, kept):
            kept.append(place)
    kept += places[-1:] if surplus else []
    text = "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in kept)
    return text.removeprefix(".") or None


def _is_kind(place: str | int, before: str | int, kept: Sequence[str | int]) -> bool:
    if isinstance(place, int) or not kept:
        return False
    if isinstance(before, int):
        return len(kept) > 1 and kept[-2] in _TAGGED
    return bool(_KIND_OF_VALUE.fullmatch(place))


def _not_served(_: Request, exc: Exception) -> Response:
    """Refusals of the framework: no such route, no such method, a body that cannot be read."""
    assert isinstance(exc, HTTPException)
    if isinstance(exc.__cause__, KimiError):  # ours, from below the reading of the body
        return error_response(exc.__cause__)
    if exc.status_code == 404:
        return error_response(UnknownName("there is no such address: see /v1/docs"))
    response = error_response(InputError(str(exc.detail)))
    response.status_code = exc.status_code
    response.headers.update(exc.headers or {})
    return response


def _nobody(_: Request, exc: Exception) -> Response:
    return Response(status_code=_NOBODY_READS_IT)
