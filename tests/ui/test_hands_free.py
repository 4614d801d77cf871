"""What the page's server does for hands-free conversation, without a browser; and the scripts that
run on the browser's audio thread, without a microphone.
"""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.messages import AudioPart, TextPart
from kimi_demo.tasks import TaskTable
from kimi_demo.ui.conversation import ConversationTab
from kimi_demo.ui.i18n import dictionaries
from kimi_demo.ui.scripts import static
from kimi_demo.ui.talk import items, session, told_turn
from kimi_demo.wire.realtime import SessionConfig

RATE = 24_000
TONE = (0.5 * np.sin(np.arange(RATE) / 20)).astype(np.float32)
VISITOR: Any = SimpleNamespace(username="alice", headers={})


def pcm(waveform: np.ndarray) -> str:
    return base64.b64encode(Audio(waveform, RATE).pcm16()).decode()


def told(**changes: Any) -> dict[str, Any]:
    turn = {"asked": pcm(TONE), "heard": " what? ", "answer": "that.", "sound": pcm(TONE[:6000])}
    return {**turn, "reason": "stop", "usage": None, **changes}


def capabilities(**tasks: Any) -> Capabilities:
    return Capabilities("scripted", "", "cpu", 0, RATE, ("en", "zh"), TaskTable(**tasks))


@pytest.fixture(scope="module")
def tab() -> ConversationTab:
    with gr.Blocks():
        minted = "ek_of_{}".format
        return ConversationTab(ScriptedEngine([], capabilities()), dictionaries(), minted)


def test_a_turn_is_taken_as_the_browser_heard_it():
    turn = told_turn(told())
    assert isinstance(turn.asked, Audio)
    assert (turn.asked.sample_rate, len(turn.asked.waveform)) == (16_000, 16_000)
    assert (turn.heard_text, turn.answer_text, len(turn.waveform)) == ("what?", "that.", 6000)
    np.testing.assert_allclose(turn.waveform, TONE[:6000], atol=1e-4)
    assert turn.finished is not None
    assert told_turn(told(reason=None)).finished is None
    unheard = told_turn(told(asked="", sound=""))
    assert (unheard.asked, len(unheard.waveform)) == ("what?", 0)


def test_what_was_said_before_goes_along_as_items():
    turns = [
        ChatTurn("one", "1."),
        ChatTurn("two", "2."),
        ChatTurn(Audio(TONE, RATE), "3.", heard_text="three"),
        ChatTurn(Audio(TONE, RATE), "4."),
    ]
    conversation = Conversation(tuple(turns))
    told_items = list(items(conversation, most=3))
    assert [item["role"] for item in told_items] == ["user", "assistant"] * 3
    contents = [item["content"][0] for item in told_items]
    assert [content.get("text") for content in contents[:5]] == ["two", "2.", "three", "3.", None]
    assert contents[4] == {"type": "input_audio", "audio": pcm(TONE)}
    assert list(items(conversation, most=0)) == []


def test_a_model_that_does_not_speak_answers_in_writing():
    assert session(capabilities(reply_outputs=("text",)))["output_modalities"] == ["text"]


def test_the_api_takes_the_session_as_it_is_asked_for():
    config = SessionConfig().updated(session(capabilities()))
    assert config.speaks
    assert config.audio.input.transcription is not None
    assert config.turns is not None
    assert config.turns.interrupt_response


def test_a_visitor_gets_a_key_and_what_was_said_before(tab: ConversationTab):
    before = Conversation((ChatTurn("hello", "hi."),))
    wish: Any = SimpleNamespace(attempt=3)
    updates = tab.hands_free._opened(before, None, wish, VISITOR)
    value = json.loads(updates[tab.talk])
    assert (value["attempt"], value["key"], value["model"]) == (3, "ek_of_alice", "scripted")
    assert [item["role"] for item in value["items"]] == ["user", "assistant"]


def test_a_turn_that_is_handed_in_can_be_followed_by_a_typed_one(tab: ConversationTab):
    event: Any = SimpleNamespace(number=7, turn=told())
    updates = tab.hands_free._told(Conversation(), None, event, VISITOR)
    assert json.loads(updates[tab.talk]) == {"taken": 7}
    intent = updates[tab.conversation].intent("and now?")
    kinds = [type(message.parts[0]) for message in intent.messages]
    assert kinds == [AudioPart, TextPart, TextPart]
    question, answer = updates[tab.chat]
    assert question["content"][1] == "heard: what?"
    assert answer["content"][0] == "that."


# The worklet of the microphone, run over a sound that is there at once.
RENDER = """async ([source, rate, samples]) => {
    const context = new OfflineAudioContext(1, samples.length, rate);
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    await context.audioWorklet.addModule(url);
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(Float32Array.from(samples), 0);
    const player = new AudioBufferSourceNode(context, { buffer });
    const node = new AudioWorkletNode(context, "microphone-frames", { numberOfOutputs: 1 });
    const frames = [], onsets = [];
    node.port.onmessage = ({ data }) => data.samples ? frames.push(data) : onsets.push(data.onset);
    player.connect(node).connect(context.destination);
    player.start();
    await context.startRendering();
    await new Promise((done) => setTimeout(done, 300));
    return { frames: frames.map((f) => ({ ...f, samples: [...f.samples] })), onsets };
}"""


def heard_by_worklet(page: Any, rate: int, waveform: np.ndarray) -> tuple[np.ndarray, Any]:
    """All frames in a row, (T,) at 24 kHz; and everything the worklet told."""
    result = page.evaluate(RENDER, [static("capture.js"), rate, waveform.tolist()])
    assert {len(frame["samples"]) for frame in result["frames"]} == {960}
    return np.concatenate([frame["samples"] for frame in result["frames"]]), result


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
def test_the_microphone_comes_at_24_khz(visitor: Any, rate: int):
    """A tone comes out as it went in; what 24 kHz cannot hold does not fold down into it."""
    seconds = np.arange(int(0.4 * rate)) / rate
    tones = {hz: np.sin(2 * np.pi * hz * seconds).astype(np.float32) for hz in (1000, 17_000)}
    heard, _ = heard_by_worklet(visitor.page, rate, 0.5 * tones[1000])
    steady = heard[2048:-2048]
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady))))
    assert np.argmax(spectrum) * RATE / len(steady) == pytest.approx(1000, abs=10)
    assert np.sqrt(np.mean(steady**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    if rate > RATE:
        folded, _ = heard_by_worklet(visitor.page, rate, 0.5 * tones[17_000])
        assert np.abs(folded[2048:-2048]).max() < 0.005


def test_a_voice_is_noticed_at_once_and_noise_is_not(visitor: Any):
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal(2 * RATE).astype(np.float32)
    noise[: RATE // 2] *= 0.5
    _, quiet = heard_by_worklet(visitor.page, RATE, noise)
    assert quiet["onsets"] == []
    noise[RATE : RATE + RATE // 2] += 0.3 * TONE[: RATE // 2]
    _, spoken = heard_by_worklet(visitor.page, RATE, noise)
    assert spoken["onsets"] == [pytest.approx(1.0, abs=0.012)]
    voiced = [n for n, frame in enumerate(spoken["frames"]) if frame["voicedSamples"] and n > 20]
    assert 0.04 * voiced[-1] == pytest.approx(1.5, abs=0.04)
