"""For those who run the server: is it alive, is it ready, what has it done."""

from __future__ import annotations

from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from kimi_demo.api.middleware import Guard
from kimi_demo.api.service import Service


def health_routes(service: Service) -> list[BaseRoute]:
    """/health and /ready are open to every probe; /metrics needs a key where there are keys."""
    return [
        Route("/health", partial(_health, service)),
        Route("/ready", partial(_ready, service)),
        Route("/metrics", partial(_metrics, service), middleware=[guarded(service)]),
    ]


def guarded(service: Service) -> Middleware:
    """What lets in who has a key."""
    return Middleware(Guard, keys=service.keys, metrics=service.metrics, secrets=service.secrets)


def _health(service: Service, _: Request) -> Response:
    known = service.engine.capabilities
    return JSONResponse({"status": "ok", "model": known.model, "device": known.device})


def _ready(service: Service, _: Request) -> Response:
    """Whether a request would be computed now or after those that wait."""
    if service.away:
        return JSONResponse({"status": "unavailable", "reason": service.away}, 503)
    status = service.engine.status
    if status.phase != "ready":
        return JSONResponse({"status": status.phase, "reason": status.note}, 503)
    waiting = service.metrics.value("kimi_queue_depth")
    return JSONResponse({"status": "ready", "waiting": int(waiting)})


def _metrics(service: Service, _: Request) -> Response:
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
