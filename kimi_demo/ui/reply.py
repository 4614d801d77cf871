"""The newest answer of a visitor's conversation, while it is given and after."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import closing

from kimi_demo.audio import Audio
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.base import Engine
from kimi_demo.engine.job import Job
from kimi_demo.events import Event
from kimi_demo.intents import Chat


class Reply:
    """Read by the event that shows it; any other may interrupt it when the visitor goes on."""

    def __init__(self, asked: str | Audio, intent: Chat) -> None:
        self.id = secrets.token_hex(4)
        self.asked = asked
        self.intent = intent
        self.interrupted = False
        self._job: Job | None = None
        self._events: list[Event] = []

    def events(self, engine: Engine) -> Generator[Event, None, None]:
        """Asks the engine, and ends where the visitor has interrupted; closing this cancels.

        Raises: whatever the engine does.
        """
        self._job = engine.start(self.intent)
        with closing(self._job.events()) as events:
            for event in events:
                if self.interrupted:
                    return
                self._events.append(event)
                yield event

    def interrupt(self) -> None:
        """What came so far stays; the engine stops."""
        self.interrupted = True
        if self._job:
            self._job.cancel()

    def turn(self) -> ChatTurn:
        return ChatTurn.of(self.asked, self.intent.seed, tuple(self._events))


def settled(conversation: Conversation, reply: Reply | None) -> Conversation:
    """With the newest reply, as far as it has come."""
    return conversation.with_turn(reply.turn()) if reply else conversation
