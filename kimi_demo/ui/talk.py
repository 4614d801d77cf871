"""Hands-free conversation: a component that listens and answers by itself, over the realtime API.

The browser talks with `/v1/realtime` (see `static/talk.js`). Here it gets a key and what was said
before; here it hands in each turn that is over, so that a typed question can follow a spoken one.
Values of the component are JSON: {attempt, key, model, session, items} or {taken}.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from kimi_demo.audio import INPUT_SAMPLE_RATE, OUTPUT_SAMPLE_RATE, Audio
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.base import Capabilities
from kimi_demo.events import Finished, FinishReason
from kimi_demo.ui.scripts import script, static
from kimi_demo.ui.tab import Words

Mint = Callable[[str], str]
"""From the name of a visitor who has logged in, or "", to a key for the realtime API."""
SILENCE_MS = 500
SCRIPTS = ("words", "pcm", "microphone", "exchange", "card", "talk")


def live_talk(name: str, offered: bool, words: Words) -> gr.HTML:
    """Button, meter and live transcript; scripts find it as `window.kimiTalks[name]`.

    offered: whether there is a realtime API to talk with.
    """
    return gr.HTML(
        value="",
        html_template=static("talk.html"),
        js_on_load=script(SCRIPTS, words, "talk", CAPTURE_SOURCE=static("capture.js")),
        apply_default_css=False,
        elem_id=f"{name}-talk",
        elem_classes="flush",
        name=name,
        offered=offered,
    )


def drop_js(name: str) -> str:
    """For `js=` of an event that forgets all: nothing more is said, heard or handed in."""
    ended = f"window.kimiTalks?.{name}?.drop(); window.kimiPlayers?.{name}?.stop();"
    return f"(...inputs) => {{ {ended} return inputs; }}"


def opened(attempt: int, key: str, conversation: Conversation, capabilities: Capabilities) -> str:
    """The value with which the browser can connect."""
    return json.dumps(
        {
            "attempt": attempt,
            "key": key,
            "model": capabilities.model,
            "session": session(capabilities),
            "items": list(items(conversation, capabilities.tasks.memory.turns)),
        }
    )


def taken(number: int) -> str:
    """The value that says that a turn stands in the conversation."""
    return json.dumps({"taken": number})


def session(capabilities: Capabilities) -> dict[str, Any]:
    """How it listens and answers."""
    speaks = "both" in capabilities.tasks.reply_outputs
    pcm = {"type": "audio/pcm", "rate": OUTPUT_SAMPLE_RATE}
    turns = {"type": "server_vad", "silence_duration_ms": SILENCE_MS}
    heard = {"model": capabilities.model}
    return {
        "type": "realtime",
        "output_modalities": ["audio" if speaks else "text"],
        "audio": {
            "input": {"format": pcm, "transcription": heard, "turn_detection": turns},
            "output": {"format": pcm},
        },
    }


def items(conversation: Conversation, most: int) -> Iterator[dict[str, Any]]:
    """The newest turns as items of the realtime API; sound only where nobody knows its words."""
    for turn in conversation.turns[-most:] if most else ():
        yield _item("user", _asked(turn))
        if turn.answer_text:
            yield _item("assistant", {"type": "output_text", "text": turn.answer_text})


def _item(role: str, content: dict[str, str]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [content]}


def _asked(turn: ChatTurn) -> dict[str, str]:
    if isinstance(turn.asked, str) or turn.heard_text:
        text = turn.asked if isinstance(turn.asked, str) else turn.heard_text
        return {"type": "input_text", "text": text}
    sound = turn.asked.resampled(OUTPUT_SAMPLE_RATE)
    return {"type": "input_audio", "audio": base64.b64encode(sound.pcm16()).decode()}


def told_turn(told: dict[str, Any]) -> ChatTurn:
    """A turn as the browser hands it in.

    {asked, heard, answer, sound, reason, usage}: sounds are base64 of PCM16 at 24 kHz, that of the
    answer as far as it was heard; reason is null where it was broken off.
    """
    said, heard = _samples(told["asked"]), told["heard"].strip()
    asked = Audio(said, OUTPUT_SAMPLE_RATE).resampled(INPUT_SAMPLE_RATE) if len(said) else heard
    turn = ChatTurn(asked, told["answer"], waveform=_samples(told["sound"]), heard_text=heard)
    reason: FinishReason | None = told["reason"]
    return replace(turn, finished=_finished(reason, told["usage"] or {})) if reason else turn


def _finished(reason: FinishReason, usage: dict[str, Any]) -> Finished:
    made = usage.get("output_token_details", {})
    counts = (usage.get("input_tokens", 0), made.get("text_tokens", 0), made.get("audio_tokens", 0))
    return Finished(reason, *counts)


def _samples(pcm16: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(pcm16), "<i2").astype(np.float32) / 32768
