"""Page and API stand in one line; a visitor sees who is served first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
from playwright.sync_api import expect

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import AudioDelta, Finished, Queued, Timings
from kimi_demo.tasks import TaskTable

SOUND = AudioDelta(np.full(12_000, 0.5, np.float32), 24_000)
ENDING = Finished("stop", 1, 0, 6, Timings(0.1, 0.1, 0.2, 0.5))


def test_a_visitor_is_told_who_is_served_first(
    serve: Callable[..., Any], visit: Callable[..., Any]
):
    label = "Plays a tone."
    engine = ScriptedEngine([SOUND, ENDING], Capabilities("scripted", label, "cpu", 1, 24_000))
    with serve(SharedEngine(engine)) as site:
        visitor = visit(site.url)
        with closing(site.engine.stream(TaskTable().chat("hello"))) as somebody:
            assert next(somebody) == Queued(0)
            visitor.speak("Good day.")
            expect(visitor.page.locator("#speech-report")).to_contain_text("1 before you")
            assert len(engine.turns) == 0  # a generator begins with its second event
        visitor.wait_state("ended")
        expect(visitor.page.locator("#speech-report .figures")).to_be_visible()
    assert len(engine.turns) == 1
