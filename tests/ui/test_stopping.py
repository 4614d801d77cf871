"""Stop, Clear and a reload while a listening tab answers; the engine writes a word at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import Event, Finished, Started, TextDelta, Timings

PAUSE_S = 0.25
WORDS = 80  # twenty seconds of writing
SECOND_WORD = re.compile(r"\bword1\b")
TABS = ["transcribe", "caption", "understand"]


def script(_: TurnRequest) -> list[Event]:
    """An answer that no test has the patience to read."""
    words = [TextDelta(f"word{number} ") for number in range(WORDS)]
    return [Started(20), *words, Finished("stop", 20, WORDS, 0, Timings(0.1, None, 20.0, 0.0))]


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Iterator[Any]:
    capabilities = Capabilities("scripted", "Writes slowly.", "cpu", 1, 24_000, ("en", "zh"))
    with serve(ScriptedEngine(script, capabilities, PAUSE_S)) as running:
        yield running


@pytest.fixture
def answering(visitor: Any, speech_wav: Path) -> Callable[[str], Any]:
    """A visitor who reads the first words of an answer."""

    def ask(tab: str) -> Any:
        visitor.open_tab(tab)
        visitor.upload(speech_wav, tab)
        if tab == "understand":
            visitor.page.locator("#understand-question textarea").fill("What is it?")
        visitor.start(tab)
        expect(visitor.answer(tab)).to_have_value(SECOND_WORD)
        return visitor

    return ask


@pytest.mark.parametrize("tab", TABS)
def test_stop_frees_the_engine_and_keeps_what_was_written(
    answering: Callable[[str], Any], site: Any, eventually: Callable[..., bool], tab: str
):
    before = len(site.engine.endings)
    visitor = answering(tab)
    visitor.page.locator(f"#{tab}-stop").click()
    assert eventually(lambda: site.engine.endings[before:] == ["cancelled"])
    expect(visitor.page.locator(f"#{tab}-start")).to_be_enabled()
    expect(visitor.page.locator(f"#{tab}-stop")).to_be_disabled()
    assert visitor.answer(tab).input_value().startswith("word0 word1")


@pytest.mark.parametrize("tab", TABS)
def test_clear_in_mid_answer_leaves_an_empty_tab(
    answering: Callable[[str], Any], site: Any, eventually: Callable[..., bool], tab: str
):
    before = len(site.engine.endings)
    visitor = answering(tab)
    visitor.page.locator(f"#{tab}-clear").click()
    assert eventually(lambda: site.engine.endings[before:] == ["cancelled"])
    expect(visitor.answer(tab)).to_have_value("")
    expect(visitor.page.locator(f"#{tab}-audio audio")).to_have_count(0)
    expect(visitor.page.locator(f"#{tab}-start")).to_be_enabled()


def test_a_reload_in_mid_answer_frees_the_engine_for_the_next_question(
    answering: Callable[[str], Any], site: Any, eventually: Callable[..., bool], speech_wav: Path
):
    before = len(site.engine.endings)
    visitor = answering("caption")
    visitor.page.reload()
    assert eventually(lambda: site.engine.endings[before:] == ["cancelled"], timeout_s=15)
    visitor.open_tab("caption")
    expect(visitor.answer("caption")).to_have_value("")
    visitor.upload(speech_wav, "caption")
    visitor.start("caption")
    expect(visitor.answer("caption")).to_have_value(SECOND_WORD)
