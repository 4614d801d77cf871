"""The page tells what it will say, and what the model heard of its own speech."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import AudioDelta, Event, Finished, Started, TextDelta, Timings
from kimi_demo.tasks import TaskTable
from kimi_demo.text.comparing import Piece, compared
from kimi_demo.ui.i18n import EN, ZH
from kimi_demo.ui.said import HeardBack, heard_note, said_note
from tests.voice import voice

RATE = 24_000
TASKS = TaskTable(speech_prompt="", text_normalizer="spoken")
HEARD = "it cost three dollars"


def script(request: TurnRequest) -> list[Event]:
    """Two seconds of a voice; whatever was said, the same is heard."""
    end = Finished("stop", 9, 4, 25, Timings(0.1, 0.2, 0.5, 2.0))
    if request.output == "both":
        return [Started(9), AudioDelta(voice(2.0, RATE), RATE), end]
    return [Started(9), TextDelta(HEARD), end]


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Iterator[Any]:
    capabilities = Capabilities("scripted", "", "cpu", 1, RATE, ("en", "zh"), TASKS)
    with serve(ScriptedEngine(script, capabilities)) as running:
        yield running


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("It costs $3.", "It costs <b>three dollars</b>."),
        ("今天20℃", "今天<b>二十摄氏度</b>"),
        ("<x> & 5", "<b>less than</b> x <b>greater than and five</b>"),
        ("Привет", "Cyrillic"),
    ],
)
def test_what_will_be_said_is_told_where_it_differs(text: str, note: str):
    shown = said_note(TASKS, text, "detect", EN)
    assert note in shown
    assert "<x>" not in shown


@pytest.mark.parametrize(
    "text", ["", "Hello, World!", "“It’s fine” — really…", "你好，世界！", "?!"]
)
def test_nothing_is_told_where_words_are_as_typed(text: str):
    assert said_note(TASKS, text, "detect", EN) == ""


def test_words_that_were_heard_differently_are_marked():
    five = HeardBack("it cost 5", compared("It costs <5.", "it cost 5"))
    found = [five, HeardBack.of("你好。", "你好")]
    note = heard_note(found, 2, EN)
    assert "It <mark>costs</mark> &lt;5.你好。" in note
    assert "1 of 5 words" in note
    assert "it cost 5你好" in note
    assert "sentence 3 of 3" in heard_note(found, 3, EN)
    assert "第 1 句" in heard_note((), 2, ZH)


def test_speech_that_was_understood_is_told_in_one_line():
    note = heard_note([HeardBack.of("Hello there.", "hello there")], 1, EN)
    assert EN["heard_same"] in note
    assert "<mark>" not in note
    assert EN["heard_words"] not in note


def test_silence_was_not_heard():
    note = heard_note([HeardBack("", (Piece("Hello", True, 1),))], 1, EN)
    assert "<mark>Hello</mark>" in note
    assert "Heard: –" in note


def test_the_page_tells_what_it_will_say_while_one_types(visitor: Any, site: Any):
    said = visitor.page.locator("#speech-said")
    expect(said).to_be_hidden()
    visitor.type("It costs $3.")
    expect(said).to_contain_text("Read as It costs three dollars.")
    visitor.type("It costs nothing.")
    expect(said).to_be_hidden()
    visitor.type("Привет")
    expect(said).to_contain_text("Cyrillic")
    assert site.engine.turns == []


def test_the_page_listens_back_where_it_is_asked_to(visitor: Any, site: Any):
    page = visitor.page
    visitor.speak("It costs $3.")
    visitor.wait_state("ended")
    expect(page.locator("#speech-start")).to_be_enabled()
    expect(page.locator("#speech-heard")).to_be_hidden()
    page.get_by_label("Listen back").check()
    visitor.speak("It costs $3.")
    heard = page.locator("#speech-heard")
    expect(heard).to_contain_text("1 of 4 words were heard differently")
    expect(heard.locator("mark")).to_have_text("costs")
    expect(heard).to_contain_text(f"Heard: {HEARD}")
    expect(page.locator("#speech-report .figures")).to_be_visible()
    expect(page.locator("#speech-start")).to_be_enabled()
    assert [request.output for request in site.engine.turns][-2:] == ["both", "text"]


def test_a_phone_shows_both_in_mandarin(visit: Callable[..., Any], site: Any):
    visitor = visit(site.url, viewport={"width": 390, "height": 844}, locale="zh-CN")
    page = visitor.page
    page.get_by_label("回听").check()
    visitor.speak("It costs $3. " + "https://www.example.org/a/very/long/address")
    expect(page.locator("#speech-said")).to_contain_text("读作")
    expect(page.locator("#speech-heard .heard-sum")).to_contain_text("听得不同")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
