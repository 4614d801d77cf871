"""What the model reads for one turn of its own; tasks make it of an intent."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kimi_demo.events import Event
from kimi_demo.messages import Message, Option, OutputType, Sampling

if TYPE_CHECKING:
    from kimi_demo.engine.base import Capabilities


@dataclass(frozen=True)
class TurnRequest:
    """One prompt and how it is answered.

    output: "text" answers in writing, "both" in speech with its text.
    max_new_tokens: decode steps at most (12.5 a second in speech); None takes the model's limit.
    options: if there are any, nothing is generated: the text head weighs them against each other
    and the answer is the label of the likeliest.
    """

    messages: tuple[Message, ...]
    output: OutputType = "text"
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    max_new_tokens: int | None = None
    options: tuple[Option, ...] = ()


# Yields Started, then deltas and a Stepped for each decode step, then Finished; close() cancels.
RunTurn = Callable[[TurnRequest], Generator[Event, None, None]]


class TurnRunner(Protocol):
    @property
    def capabilities(self) -> Capabilities: ...

    def run_turn(self, request: TurnRequest) -> Generator[Event, None, None]: ...

    def close(self) -> None: ...
