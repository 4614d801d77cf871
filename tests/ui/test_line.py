"""Page and API stand in one line; a visitor sees who is served first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
from playwright.sync_api import expect

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import AudioDelta, Event, Finished, Queued, Stepped
from kimi_demo.intents import Chat

SOUND = AudioDelta(np.full(12_000, 0.5, np.float32), 24_000)
ENDING = Finished("stop", 1, 0, 6)


def held(turn: TurnRequest) -> Iterator[Event]:
    """The first one goes on until somebody cancels it."""
    while turn.messages[-1].parts[0].text == "hello":
        time.sleep(0.02)
        yield Stepped(0, 0)
    yield from (SOUND, ENDING)


def test_a_visitor_is_told_who_is_served_first(
    serve: Callable[..., Any], visit: Callable[..., Any]
):
    label = "Plays a tone."
    capabilities = Capabilities("scripted", label, "cpu", 1, 24_000)
    engine = ScriptedEngine(held, capabilities)
    with serve(engine) as site:
        visitor = visit(site.url)
        with closing(site.engine.stream(Chat.about("hello"))) as somebody:
            assert next(somebody) == Queued(0)
            visitor.speak("Good day.")
            expect(visitor.page.locator("#speech-report")).to_contain_text("1 before you")
            later = site.engine.start(Chat.about("I came later"))  # as a caller of the API
        visitor.wait_state("ended")
        expect(visitor.page.locator("#speech-report .figures")).to_be_visible()
        later.join()
    asked = [turn.messages[-1].parts[0].text.split()[-1] for turn in engine.turns]
    assert asked == ["hello", "day.", "later"]
