"""The engine protocol: everything above it (page, API, CLI) knows only this."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from kimi_demo.events import Event
from kimi_demo.messages import Request
from kimi_demo.tasks import TaskTable


@dataclass(frozen=True)
class Capabilities:
    """What an engine runs and can do, for status lines and limits.

    label: one honest sentence about the checkpoint, shown wherever it speaks.
    languages: that it speaks and understands, as codes.
    card: Markdown on what it can do, how well, and how it was made; empty if it brings none.
    slots: requests that it serves at once.
    """

    model: str
    label: str
    device: str
    parameters: int
    sample_rate: int
    languages: tuple[str, ...] = ("en",)
    tasks: TaskTable = TaskTable()
    card: str = ""
    slots: int = 1


class Engine(Protocol):
    """Serves requests. Local, remote and scripted engines are interchangeable."""

    @property
    def capabilities(self) -> Capabilities: ...

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yields Started, then deltas, then Finished; failures are raised as KimiError.

        close() on the generator cancels and frees everything that the request held. It waits no
        longer than a decode step: while there is nothing to tell, Queued and Stepped come.
        """
        ...

    def close(self) -> None:
        """Frees the model; later requests raise EngineError."""
        ...
