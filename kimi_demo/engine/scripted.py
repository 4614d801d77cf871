"""An engine that plays lists of events in place of the model's turns: for tests and for work on the
page without weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

from kimi_demo.engine import tasks
from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import Event
from kimi_demo.intents import Intent

Script = Sequence[Event] | Callable[[TurnRequest], Sequence[Event]]


class ScriptedEngine(Engine):
    """Yields the scripted events of each turn, `pause_s` apart; remembers intents and turns, and
    how each turn ended."""

    def __init__(self, script: Script, capabilities: Capabilities, pause_s: float = 0.0) -> None:
        super().__init__(capabilities)
        self._script = script
        self._pause_s = pause_s
        self.intents: list[Intent] = []
        self.turns: list[TurnRequest] = []
        self.endings: list[str] = []

    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        events = tasks.answer(intent, self.capabilities, self.run_turn)
        self.intents.append(intent)
        return events

    def run_turn(self, turn: TurnRequest) -> Generator[Event, None, None]:
        self.turns.append(turn)
        ending = "cancelled"
        try:
            for event in self._script(turn) if callable(self._script) else self._script:
                time.sleep(self._pause_s)
                yield event
            ending = "finished"
        finally:
            self.endings.append(ending)
