"""Hands-free conversation in a real browser, over the real realtime API; the engine plays a script
and the microphone a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import AudioDelta, Event, Finished, HeardDelta, Started, TextDelta
from kimi_demo.messages import AudioPart, SpokenPart, TextPart
from tests.ui.talking import MICROPHONE_RATE, Listener, browser_hearing, microphone_file
from tests.voice import voice

RATE = 24_000
PIECE_S = 0.4
CODES_PER_PIECE = 5
LONG_S, SHORT_S = 30.0, 2.0
TONE = (0.5 * np.sin(np.arange(int(LONG_S * RATE)) * 0.1)).astype(np.float32)
QUESTION_S = 1.6
COUGH_S = 0.1
# When what is said into the microphone: two questions, a cough, and a word into the long answer.
FIRST_S, SECOND_S, COUGHED_S, INTERRUPTED_S, ALL_S = 4.0, 13.0, 18.5, 22.0, 90.0
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
    return ScriptedEngine(script, capabilities, 0.03)


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
    expect(listener.status).to_have_text("Listening")
    expect(listener.page.locator("#conversation-ask")).to_have_attribute("inert", "")

    (first,) = listener.wait("s.turns.length === 1")["turns"]
    assert (first["heard"], first["answer"]) == ("question 1", "This is answer 1")
    assert first["playedMs"] == first["receivedMs"] == 1000 * SHORT_S
    expect(listener.said("user").first).to_contain_text("heard: question 1")
    expect(listener.said("bot").first).to_contain_text("This is answer 1")

    listener.wait("s.state === 'speaking' && s.duckMs.length === 1")
    assert listener.stats()["state"] == "speaking"  # a cough ends nothing
    _, second = listener.wait("s.turns.length === 2")["turns"]
    assert second["reason"] is None
    assert INTERRUPTED_S - SECOND_S - 4.5 < second["playedMs"] / 1000 < INTERRUPTED_S - SECOND_S
    assert second["receivedMs"] > second["playedMs"] + 1000, "nothing was left unheard"

    *_, third = listener.wait("s.turns.length === 3")["turns"]
    assert (third["heard"], third["answer"]) == ("question 3", "This is answer 3")
    remembered = site.engine.turns[-1].messages[3].parts
    heard_codes = tuple(range(int(second["playedMs"] * 12.5 / 1000)))
    assert remembered == (SpokenPart(heard_codes, second["answer"]),)
    assert second["answer"] != "This is answer 2"

    for turn in (first, second, third):
        assert 1000 * SILENCE_S < turn["latencyMs"] < 1000 * (SILENCE_S + 0.9)
    assert all(0 < ms <= 50 for ms in listener.stats()["duckMs"])
    check_loudness(listener.loudness(), second["playedMs"])

    listener.toggle.click()
    expect(listener.status).to_have_text("Ended. The microphone is off.")
    expect(listener.said("bot")).to_have_count(6)  # words and sound of each
    expect(listener.page.locator("#conversation-ask")).not_to_have_attribute("inert", "")
    listener.page.locator("#conversation-text textarea").fill("and typed?")
    listener.page.locator("#conversation-send").click()
    expect(listener.said("bot").filter(has_text="This is answer 4")).to_have_count(1)
    asked = [m.parts[0] for m in site.engine.turns[-1].messages if m.role == "user"]
    assert [type(part) for part in asked] == [AudioPart, AudioPart, AudioPart, TextPart]
    assert all(QUESTION_S < part.audio.duration_s < QUESTION_S + 1.2 for part in asked[:3])


def check_loudness(loudness: np.ndarray, second_ms: float) -> None:
    """Of the second answer: full, quieter for the cough, full again, quieter, and silent."""
    ms, peak = loudness.T
    starts = ms[1:][(peak[1:] > 0.3) & (peak[:-1] < 0.01)]
    second = (ms > starts[1]) & (ms < starts[1] + second_ms + 1500)
    states = ["silent" if p < 0.01 else "ducked" if p < 0.2 else "full" for p in peak[second]]
    changes = [state for n, state in enumerate(states) if n == 0 or states[n - 1] != state]
    assert changes == ["full", "ducked", "full", "ducked", "silent"]
