"""JSON bodies, read more strictly than by the standard library."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.responses import Response


class JsonRoute(APIRoute):
    """Refuses half a surrogate pair, a text that could be neither stored nor sent again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Raises: ValueError for what is no JSON, which FastAPI answers with status 400."""
        return from_json(await self.body())
