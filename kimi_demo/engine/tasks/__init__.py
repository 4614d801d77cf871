"""How an intent becomes turns of the model: one module for each kind of intent, and what they
share. No torch: whatever runs a turn can serve them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from kimi_demo.engine.tasks.about import ask, caption, choose
from kimi_demo.engine.tasks.chat import chat
from kimi_demo.engine.tasks.self_check import listen_back
from kimi_demo.engine.tasks.speak import speak
from kimi_demo.engine.tasks.transcribe import transcribe
from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.events import Event
from kimi_demo.intents import (
    Ask,
    Caption,
    Chat,
    Choose,
    Intent,
    ListenBack,
    Speak,
    Transcribe,
    Translate,
)

if TYPE_CHECKING:
    from kimi_demo.engine.base import Capabilities


def answer(
    intent: Intent, capabilities: Capabilities, run_turn: RunTurn
) -> Generator[Event, None, None]:
    """The events of an intent. Raises: InputError at once for what cannot be served."""
    tasks, languages = capabilities.tasks, capabilities.languages
    match intent:
        case Speak():
            return speak(intent, tasks, languages, capabilities.sample_rate, run_turn)
        case Transcribe() | Translate():
            return transcribe(intent, tasks, languages, run_turn)
        case ListenBack():
            return listen_back(intent, tasks, languages, run_turn)
        case Caption():
            return caption(intent, tasks, run_turn)
        case Chat():
            return chat(intent, tasks, run_turn)
        case Ask():
            return ask(intent, tasks, run_turn)
        case Choose():
            return choose(intent, tasks, run_turn)


def check(intent: Intent, capabilities: Capabilities) -> None:
    """Raises: InputError for what an engine of these capabilities will not serve."""
    answer(intent, capabilities, _no_turn).close()


def _no_turn(_: TurnRequest) -> Generator[Event, None, None]:
    raise AssertionError("nothing is computed to check an intent")
