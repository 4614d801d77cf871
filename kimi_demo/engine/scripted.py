"""An engine that plays a list of events: for tests and for work on the page without weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

from kimi_demo.engine.base import Capabilities
from kimi_demo.events import Event
from kimi_demo.messages import Request

Script = Sequence[Event] | Callable[[Request], Sequence[Event]]


class ScriptedEngine:
    """Yields the scripted events, `pause_s` apart; remembers requests and how each stream ended."""

    def __init__(self, script: Script, capabilities: Capabilities, pause_s: float = 0.0) -> None:
        self._script = script
        self._capabilities = capabilities
        self._pause_s = pause_s
        self.requests: list[Request] = []
        self.endings: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Plays the script once."""
        self.requests.append(request)
        ending = "cancelled"
        try:
            for event in self._script(request) if callable(self._script) else self._script:
                time.sleep(self._pause_s)
                yield event
            ending = "finished"
        finally:
            self.endings.append(ending)

    def close(self) -> None:
        """Nothing to free."""
