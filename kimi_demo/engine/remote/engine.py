"""The engine protocol over a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import closing

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.remote.capabilities import introduced
from kimi_demo.engine.remote.chat import answered
from kimi_demo.engine.remote.connection import Connection
from kimi_demo.engine.remote.server import Server
from kimi_demo.engine.remote.speech import spoken
from kimi_demo.engine.remote.transcription import written
from kimi_demo.events import Event
from kimi_demo.messages import Request
from kimi_demo.options import RemoteOptions


class RemoteEngine:
    """Asks an OpenAI-compatible server; nothing is computed here."""

    def __init__(self, server: Server, capabilities: Capabilities) -> None:
        self._server = server
        self._capabilities = capabilities

    @classmethod
    def connected(cls, options: RemoteOptions) -> RemoteEngine:
        """An engine over this server, which is asked what it is.

        Raises: EngineAway if nothing answers there; AccessError if the key is wrong; EngineError
        if it is no such server; InputError if the address is none.
        """
        connection = Connection(options.base_url, options.api_key)
        try:
            return cls(*introduced(connection, options))
        except BaseException:
            connection.close()
            raise

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yields the answer's events; see `Engine.stream`. Closing it hangs up at once."""
        with closing(self._server.connection.listen(self._asked(request))) as events:
            yield from events

    def close(self) -> None:
        """Drops what is asked; the server itself goes on."""
        self._server.connection.close()

    def _asked(self, request: Request) -> AsyncGenerator[Event, None]:
        match request.task:
            case "speech":
                return spoken(self._server, request)
            case "transcription" | "translation":
                return written(self._server, request)
            case _:
                return answered(self._server, request)
