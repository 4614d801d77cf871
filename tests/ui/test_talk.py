"""Hands-free conversation in a real browser, over the real realtime API; the engine plays a script
and the microphone a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, WebSocketRoute, expect

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import AudioDelta, Event, Finished, HeardDelta, Started, TextDelta
from kimi_demo.messages import AudioPart, SpokenPart, TextPart
from kimi_demo.settings import Settings
from kimi_demo.ui import build_ui
from tests.ui.talking import MICROPHONE_RATE, Listener, browser_hearing, microphone_file
from tests.voice import voice

RATE = 24_000
PIECE_S = 0.4
PAUSE_S = 0.15  # between two pieces: an engine at two and a half times the pace of speech
CODES_PER_PIECE = 5
FIRST_SOUND_S = 8 * PAUSE_S  # what comes before: see `script`
LONG_S, SHORT_S = 40.0, 2.0
TONE = (0.5 * np.sin(np.arange(int(LONG_S * RATE)) * 0.1)).astype(np.float32)
QUESTION_S = 1.6
COUGH_S = 0.05
# When what is said into the microphone: two questions, a cough and a word into the long answer. A
# busy machine plays the file late, and has time for what is slow.
FIRST_S, SECOND_S, COUGHED_S, INTERRUPTED_S, ALL_S = 6.0, 14.0, 20.0, 24.0, 90.0
SILENCE_S = 0.5  # after which a turn is over


def script(request: TurnRequest) -> list[Event]:
    """Echoes how many questions there were; the answer to the second is long. Every piece of sound
    has the next codes.
    """
    asked = sum(message.role == "user" for message in request.messages)
    is_spoken = isinstance(request.messages[-1].parts[0], AudioPart)
    heard = [HeardDelta(f"question {asked}")] if is_spoken else []
    words = [TextDelta(word) for word in f"This is answer {asked}".split(" ")]
    seconds = LONG_S if asked == 2 else SHORT_S
    pieces = TONE[: int(seconds * RATE)].reshape(-1, int(PIECE_S * RATE))
    codes = np.arange(len(pieces) * CODES_PER_PIECE).reshape(-1, CODES_PER_PIECE).tolist()
    sounds = [AudioDelta(p, RATE, tuple(c)) for p, c in zip(pieces, codes, strict=True)]
    spaced = [TextDelta(" " + w.text) if n else w for n, w in enumerate(words)]
    done = Finished("stop", 20, len(words), len(codes) * CODES_PER_PIECE)
    return [Started(20), *heard, *spaced, *sounds, done]


def engine() -> ScriptedEngine:
    capabilities = Capabilities("scripted", "Plays tones.", "cpu", 1_234_567, RATE, ("en", "zh"))
    return ScriptedEngine(script, capabilities, PAUSE_S)


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Iterator[Any]:
    with serve(engine()) as running:
        yield running


@pytest.fixture(scope="module")
def hearing(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser into whose microphone two questions, a cough and an interruption are said."""
    said = [FIRST_S, SECOND_S, INTERRUPTED_S]
    sounds = [(start_s, voice(QUESTION_S, MICROPHONE_RATE)) for start_s in said]
    sounds.append((COUGHED_S, voice(COUGH_S, MICROPHONE_RATE)))
    path = tmp_path_factory.mktemp("microphone") / "talk.wav"
    with browser_hearing(browser, microphone_file(path, sounds, ALL_S)) as running:
        yield running


@pytest.fixture
def listen(hearing: Browser, site: Any) -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def open_page(url: str = "", **options: Any) -> Listener:
        page = hearing.new_context(**{"locale": "en-GB", **options}).new_page()
        opened.append(Listener(page, url or site.url))
        return opened[-1]

    yield open_page
    for listener in opened:
        listener.page.context.close()
    assert [failure for listener in opened for failure in listener.failures] == []


def test_two_turns_and_an_interruption(listen: Callable[..., Listener], site: Any):
    listener = listen()
    listener.tap_loudspeaker()
    listener.begin()
    expect(listener.page.locator("#conversation-ask")).to_have_attribute("inert", "")
    first, second, third = listener.wait("s.turns.length === 3", timeout_s=120)["turns"]

    assert (first["heard"], first["answer"]) == ("question 1", "This is answer 1")
    assert first["playedMs"] == first["receivedMs"] == 1000 * SHORT_S
    assert (second["heard"], second["reason"]) == ("question 2", None)
    assert 1000 < second["playedMs"] < second["receivedMs"] - 1000, "nothing was left unheard"
    assert (third["heard"], third["answer"]) == ("question 3", "This is answer 3")
    (remembered,) = site.engine.turns[-1].messages[3].parts
    assert isinstance(remembered, SpokenPart)
    assert 0 < len(remembered.codes) / 12.5 < second["receivedMs"] / 1000 - 1
    assert "This is answer 2".startswith(second["answer"])
    latencies = [turn["latencyMs"] for turn in (first, second, third)]
    assert 1000 * SILENCE_S < min(latencies) < 1000 * (FIRST_SOUND_S + 1.5)
    assert min(listener.stats()["duckMs"]) <= 50
    check_loudness(listener.loudness(), sum(t["playedMs"] for t in (first, second, third)))

    listener.toggle.click()
    expect(listener.status).to_have_text("Ended. The microphone is off.")
    assert listener.page.evaluate("microphones.every((track) => track.readyState === 'ended')")
    expect(listener.said("user").last).to_contain_text("heard: question 3")
    expect(listener.said("bot").get_by_label("Play")).to_have_count(3)
    expect(listener.page.locator("#conversation-ask")).not_to_have_attribute("inert", "")
    listener.page.locator("#conversation-text textarea").fill("and typed?")
    listener.page.locator("#conversation-send").click()
    expect(listener.said("bot").filter(has_text="This is answer 4")).to_have_count(1)
    asked = [m.parts[0] for m in site.engine.turns[-1].messages if m.role == "user"]
    assert [type(part) for part in asked] == [AudioPart, AudioPart, AudioPart, TextPart]
    assert all(QUESTION_S < part.audio.duration_s < QUESTION_S + 1.2 for part in asked[:3])


def check_loudness(loudness: np.ndarray, played_ms: float) -> None:
    """As much was heard as is said to have been played; some of it was quieter, for the cough and
    before the interruption was certain.
    """
    ms, peak = loudness.T
    lasted = np.diff(ms, prepend=ms[0])
    assert lasted[peak > 0.05].sum() == pytest.approx(played_ms, rel=0.15)
    ducked = (peak > 0.1) & (peak < 0.15)
    assert 400 < lasted[ducked].sum() < 3000


def test_a_lost_connection_is_said_and_can_be_had_again(listen: Callable[..., Listener]):
    routes: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        route.connect_to_server()
        routes.append(route)

    listener = listen()
    listener.page.route_web_socket(re.compile("/v1/realtime"), through)
    listener.begin()
    for code, told in [(1011, "The connection was lost."), (1013, "Too many people")]:
        routes[-1].close(code=code, reason="for a reason")
        expect(listener.status).to_contain_text(told)
        expect(listener.note).to_have_text("for a reason")
        assert listener.page.evaluate("microphones.every((t) => t.readyState === 'ended')")
        expect(listener.page.locator("#conversation-ask")).not_to_have_attribute("inert", "")
        expect(listener.toggle).to_have_text("Connect again")
        listener.toggle.click()
        listener.wait("s.state !== 'off' && s.state !== 'asking' && s.state !== 'connecting'")
    listener.toggle.focus()
    listener.page.keyboard.press("Enter")
    expect(listener.toggle).to_have_text("Talk hands-free")
    expect(listener.toggle).to_be_focused()


def test_what_was_typed_is_known_when_talking_begins(listen: Callable[..., Listener], site: Any):
    listener = listen()
    listener.page.locator("#conversation-text textarea").fill("typed")
    listener.page.locator("#conversation-send").click()
    expect(listener.said("bot").filter(has_text="This is answer 1")).to_have_count(1)
    listener.begin()
    told = "window.kimiTalks.conversation.opening.slice(1).map((e) => e.item.content[0].text)"
    assert listener.page.evaluate(told) == ["typed", "This is answer 1"]
    listener.page.get_by_label("Clear").first.click()
    expect(listener.status).to_have_text("Ended. The microphone is off.")
    expect(listener.said("bot")).to_have_count(0)


@pytest.mark.parametrize("path", ["", "/kimi"])
def test_the_api_is_sought_beside_the_page(
    listen: Callable[..., Listener], serve: Callable[..., Any], path: str
):
    with serve(engine(), Settings(root_path=path or None)) as shown:
        page = listen(shown.url).page
        address = page.evaluate(
            "window.kimiTalks.conversation.address(window.gradio_config.root, 'a/b').href"
        )
        assert address == f"ws://127.0.0.1:{shown.port}{path}/v1/realtime?model=a%2Fb"


DENIED = """name => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", name));
}"""


@pytest.mark.parametrize(
    ("name", "told"), [("NotAllowedError", "not allowed"), ("NotFoundError", "No microphone")]
)
def test_a_microphone_that_cannot_be_had_is_explained(
    listen: Callable[..., Listener], name: str, told: str
):
    listener = listen()
    listener.page.evaluate(DENIED, name)
    listener.toggle.click()
    expect(listener.status).to_contain_text(told)
    expect(listener.page.locator("#conversation-ask")).not_to_have_attribute("inert", "")


@pytest.mark.parametrize(
    ("script", "locale", "told"),
    [
        ("delete window.AudioWorkletNode", "en-GB", "This browser cannot stream sound"),
        ("delete Navigator.prototype.mediaDevices", "zh-CN", "这里没有可用的麦克风"),
    ],
)
def test_where_something_is_missing_one_sentence_says_so(
    browser: Browser, site: Any, script: str, locale: str, told: str
):
    page = browser.new_context(locale=locale).new_page()
    page.add_init_script(script)
    page.goto(site.url + "#conversation")
    expect(page.locator("#conversation-talk .talk-note")).to_contain_text(told)
    expect(page.locator("#conversation-talk .talk-toggle")).to_be_hidden()
    expect(page.locator("#conversation-microphone")).to_be_visible()
    page.context.close()


def test_without_a_secure_page_the_sentence_says_so(browser: Browser, site: Any):
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(f"http://insecure.test:{site.port}/#conversation")
    expect(page.locator("#conversation-talk .talk-note")).to_contain_text("needs a secure page")
    page.context.close()


def test_a_server_that_offers_none_says_so():
    page = build_ui(engine())
    (talk,) = [block for block in page.blocks.values() if block.elem_id == "conversation-talk"]
    assert talk.props["offered"] is False


def test_a_page_behind_a_login_gets_keys_of_its_visitor(
    hearing: Browser, serve: Callable[..., Any]
):
    settings = Settings(api_keys="alice=long-secret", page_needs_key=True)
    with serve(engine(), settings) as guarded:
        page = hearing.new_context(locale="en-GB").new_page()
        page.request.post(
            guarded.url + "login", form={"username": "alice", "password": "long-secret"}
        )
        listener = Listener(page, guarded.url)
        listener.begin()
        page.context.close()
