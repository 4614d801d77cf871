"""The conversation tab in a real browser, and its endpoint; the engine plays a script."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Locator, expect

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.errors import EngineError
from kimi_demo.events import (
    AudioDelta,
    Event,
    Finished,
    HeardDelta,
    Started,
    TextDelta,
    Timings,
)
from kimi_demo.messages import AudioPart, SpokenPart, TextPart

RATE = 24_000
PAUSE_S = 0.05
STEP_S = 0.2
CODES = (3, 1, 4)
TONE = (0.5 * np.sin(np.arange(int(60 * RATE)) * 0.1)).astype(np.float32)


def script(request: TurnRequest) -> list[Event]:
    """Two seconds of tone under an echo of the question; its words may ask for something else.
    What was heard of a sound is told before the answer.
    """
    (part,) = request.messages[-1].parts
    asked = part.text if isinstance(part, TextPart) else "a sound"
    if "engine failure" in asked:
        raise EngineError("the engine ran out of memory: try a shorter text")
    words = ["You", " said", f" {asked}", f" ({request.seed})"]
    deltas: list[Event] = [TextDelta(word) for word in words]
    seconds = 0.0 if request.output == "text" else 30.0 if "long" in asked else 2.0
    pieces = TONE[: int(seconds * RATE)].reshape(-1, int(STEP_S * RATE))
    timings = Timings(0.05, 0.2 if seconds else None, 0.5 * seconds + 0.1, seconds)
    codes = CODES if seconds else ()
    done = Finished("stop", 20, len(words), len(codes), timings, codes)
    sounds = [AudioDelta(np.concatenate(pieces[:5]), RATE)] if seconds else []
    heard = [HeardDelta("what <i>")] if isinstance(part, AudioPart) else []
    return [Started(20), *heard, *deltas, *sounds, *(AudioDelta(p, RATE) for p in pieces[5:]), done]


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Iterator[Any]:
    label = "Echoes what was asked, to try the page without a model."
    capabilities = Capabilities("scripted", label, "cpu", 1_234_567, RATE, ("en", "zh"))
    with serve(ScriptedEngine(script, capabilities, PAUSE_S)) as running:
        yield running


class Talker:
    """A visitor at the conversation tab."""

    def __init__(self, visitor: Any) -> None:
        self.page = visitor.page
        self._heard = None
        self.page.locator("#tab-conversation-button").click()
        expect(self.page.locator("#conversation-text textarea")).to_be_visible()
        self.page.wait_for_function("window.kimiPlayers?.conversation")

    def ask(self, text: str) -> None:
        box = self.page.locator("#conversation-text textarea")
        box.fill(text)
        box.press("Enter")

    def press(self, name: str) -> None:
        self.page.locator(f"#conversation-{name}").click()

    def said(self, role: str) -> Locator:
        return self.page.locator(f"#conversation-chat .message.{role}")

    def stats(self) -> dict[str, Any]:
        return self.page.evaluate("window.kimiPlayers.conversation.stats")

    def wait(self, condition: str) -> None:
        self.page.wait_for_function(f"(({condition}))(window.kimiPlayers.conversation.stats)")

    def hear_out(self) -> dict[str, Any]:
        """Waits for the end of a reply that was not waited for before."""
        self.wait(f"s => s.state === 'ended' && s.runId !== {json.dumps(self._heard)}")
        expect(self.page.locator("#conversation-stop")).to_be_disabled()  # the turn is in the chat
        stats = self.stats()
        self._heard = stats["runId"]
        return stats


@pytest.fixture
def talk(visit: Callable[..., Any], site: Any) -> Callable[..., Talker]:
    return lambda **options: Talker(visit(site.url, **options))


def test_a_typed_conversation_keeps_its_history(talk: Callable, site: Any):
    visitor = talk()
    visitor.ask("hello")
    expect(visitor.page.locator("#conversation-text textarea")).to_have_value("")
    stats = visitor.hear_out()
    assert stats["received"] == stats["played"] == 2 * RATE
    assert stats["gaps"] == 0
    expect(visitor.said("user")).to_have_text(["hello"])
    expect(visitor.said("bot").first).to_contain_text("You said hello (0)")
    expect(visitor.page.locator("#conversation-report")).to_contain_text(re.compile(r"\d\.\d\d s"))
    expect(visitor.said("bot").get_by_label("Play")).to_have_count(1)
    expect(visitor.page.locator("#conversation-stop")).to_be_disabled()

    visitor.ask("and now?")
    expect(visitor.said("bot").last).to_contain_text("You said and now? (0)")
    visitor.hear_out()
    first, answer, second = site.engine.turns[-1].messages
    assert (first.parts, second.parts) == ((TextPart("hello"),), (TextPart("and now?"),))
    assert answer.parts == (SpokenPart(CODES, "You said hello (0)"),)

    with visitor.page.expect_download() as download:
        visitor.press("export")
    assert download.value.suggested_filename == "conversation.zip"
    archive = zipfile.ZipFile(download.value.path())
    exported = json.loads(archive.read("conversation.json"))
    assert [m["role"] for m in exported["messages"]] == ["user", "assistant"] * 2
    sound, rate = soundfile.read(io.BytesIO(archive.read("02-assistant.wav")))
    assert (rate, len(sound)) == (RATE, 2 * RATE)


def test_a_new_turn_silences_the_old_reply(talk: Callable, site: Any, eventually: Callable):
    visitor = talk()
    before = len(site.engine.endings)
    visitor.ask("a long story")
    visitor.wait("s => s.played > 12000")
    old = visitor.stats()
    assert old["received"] < 30 * RATE, "nothing was streamed"
    old_run = old["runId"]
    visitor.ask("hello")
    visitor.wait(f"s => s.runId && s.runId !== '{old_run}'")
    stats = visitor.hear_out()
    assert stats["received"] == stats["played"] == 2 * RATE
    assert eventually(lambda: site.engine.endings[before:] == ["cancelled", "finished"])
    expect(visitor.said("user")).to_have_text(["a long story", "hello"])
    expect(visitor.said("bot").first).to_contain_text("You said a long story (0)")
    remembered = site.engine.turns[-1].messages[1].parts
    assert remembered == (TextPart("You said a long story (0)"),)  # it has no complete codes


def test_stop_keeps_what_was_said(talk: Callable, site: Any, eventually: Callable):
    visitor = talk()
    before = len(site.engine.endings)
    visitor.ask("a long story")
    visitor.wait("s => s.played > 24000")
    visitor.press("stop")
    clicked = time.monotonic()
    visitor.wait("s => s.stopMs !== null")
    assert visitor.stats()["stopMs"] < 300
    assert time.monotonic() - clicked < 10
    assert eventually(lambda: site.engine.endings[before:] == ["cancelled"])
    expect(visitor.said("bot")).to_contain_text("You said a long story (0)")
    expect(visitor.said("bot").get_by_label("Play")).to_have_count(1)
    expect(visitor.page.locator("#conversation-stop")).to_be_disabled()
    visitor.ask("hello")
    assert visitor.hear_out()["played"] == 2 * RATE
    assert len(site.engine.turns[-1].messages) == 3


def test_retry_undo_and_clear(talk: Callable, site: Any):
    visitor = talk()
    visitor.ask("hello")
    visitor.hear_out()
    visitor.press("retry")
    expect(visitor.said("bot").first).not_to_contain_text("(0)")
    visitor.hear_out()
    request = site.engine.turns[-1]
    assert request.seed != 0
    assert len(request.messages) == 1
    visitor.page.get_by_role("button", name="Answer settings").click()
    expect(visitor.page.locator("#conversation-seed input")).to_have_value(str(request.seed))
    expect(visitor.said("user")).to_have_count(1)

    visitor.ask("more")
    visitor.hear_out()
    visitor.press("undo")
    expect(visitor.said("user")).to_have_text(["hello"])
    expect(visitor.page.locator("#conversation-text textarea")).to_have_value("more")
    visitor.press("clear")
    expect(visitor.said("user")).to_have_count(0)
    visitor.ask("afresh")
    visitor.hear_out()
    assert len(site.engine.turns[-1].messages) == 1


def test_a_recording_sends_itself(talk: Callable, site: Any):
    visitor = talk()
    microphone = visitor.page.locator("#conversation-microphone")
    for count in (1, 2):  # the recorder is ready again after each turn
        microphone.get_by_role("button", name="Record", exact=True).click()
        visitor.page.wait_for_timeout(1500)
        microphone.get_by_role("button", name="Stop", exact=True).first.click()
        expect(visitor.said("bot")).to_have_count(count)
        expect(visitor.said("bot").last).to_contain_text("You said a sound (0)")
        visitor.hear_out()
        (heard,) = site.engine.turns[-1].messages[-1].parts
        assert isinstance(heard, AudioPart)
        assert heard.audio.duration_s > 0.8
        expect(visitor.said("user").get_by_label("Play")).to_have_count(count)
        expect(visitor.said("user").last).to_contain_text("heard: what <i>")
    kinds = [type(m.parts[0]) for m in site.engine.turns[-1].messages]
    assert kinds == [AudioPart, SpokenPart, AudioPart]


def test_examples_text_only_and_refusals(talk: Callable, site: Any):
    visitor = talk()
    for text, message in [("  ", "There is no question yet"), ("engine failure", "out of memory")]:
        visitor.ask(text)
        toast = visitor.page.get_by_test_id("toast-body").filter(has_text=message)
        expect(toast).to_be_visible()
        visitor.wait("s => s.state === 'ended'")
        expect(visitor.page.locator("#conversation-stop")).to_be_disabled()
    visitor.page.get_by_label("Text only").check()
    visitor.page.get_by_role("button", name="What is your name?").click()
    expect(visitor.said("bot")).to_have_text("You said What is your name? (0)")
    expect(visitor.page.locator("#conversation-report")).to_contain_text("first word")
    assert visitor.stats()["received"] == 0
    assert site.engine.turns[-1].output == "text"
    visitor.ask("<b>bold</b> **and** _markdown_")
    expect(visitor.said("user").last).to_have_text("<b>bold</b> **and** _markdown_")


def test_a_phone_in_mandarin(talk: Callable):
    visitor = talk(viewport={"width": 390, "height": 844}, locale="zh-CN")
    expect(visitor.page.locator("#conversation-send")).to_have_text("发送")
    expect(visitor.page.locator("#conversation-chat")).to_contain_text("请提问")
    visitor.ask("你好")
    visitor.hear_out()
    expect(visitor.page.locator("#conversation-report")).to_contain_text("首音")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = visitor.page.locator("#conversation-text textarea").bounding_box()
    assert box is not None
    assert box["width"] > 150


def test_the_endpoint_carries_the_history(client: Client, site: Any, speech_wav: Path):
    wav, facts = client.predict("hello", seed=5, api_name="/chat")
    assert soundfile.info(wav).frames == 2 * RATE
    assert (facts["text"], facts["seed"], facts["audio_s"]) == ("You said hello (5)", 5, 2.0)
    sound = handle_file(str(speech_wav))
    wav, facts = client.predict("", sound, facts["history"], "text", api_name="/chat")
    assert (wav, facts["heard"]) == (None, "what <i>")
    kinds = [type(m.parts[0]) for m in site.engine.turns[-1].messages]
    assert kinds == [TextPart, SpokenPart, AudioPart]
    client.predict("again", history=facts["history"], api_name="/chat")
    parts = [m.parts[0] for m in site.engine.turns[-1].messages]
    assert parts[1] == SpokenPart(CODES, "You said hello (5)")
    whole_s = soundfile.info(str(speech_wav)).duration
    assert whole_s - 0.5 < parts[2].audio.duration_s <= whole_s  # without the silence around
    assert parts[3] == TextPart("You said a sound (0)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "no question"),
        ({"text": "hi", "seed": -1}, "seed"),
        ({"text": "hi", "history": [{"question": "a"}]}, "question and an answer"),
        ({"text": "hi", "history": [{"answer": "a"}]}, "question_wav"),
        ({"text": "hi", "history": [{"question_wav": "AAAA", "answer": "a"}]}, "WAV file"),
        ({"text": "hi", "history": [{"question": "a", "answer": "b", "codes": [-1]}]}, "Codes"),
        ({"text": "hi", "history": {"question": "a"}}, "list"),
        ({"text": "engine failure"}, "out of memory"),
    ],
)
def test_the_endpoint_explains_what_it_refuses(
    client: Client, arguments: dict[str, Any], message: str
):
    with pytest.raises(AppError, match=message):
        client.predict(**arguments, api_name="/chat")
