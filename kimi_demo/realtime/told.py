"""What a client of a live conversation is told: events with every field that its form requires.

Clients that check a schema drop a whole event for one field: in a content part of an answer what is
absent is left out, never null; in the item of a recording a transcript is there, null until it is
known.
"""

from __future__ import annotations

import base64
from typing import Any

from kimi_demo.audio import OUTPUT_SAMPLE_RATE
from kimi_demo.events import Finished
from kimi_demo.realtime.items import Item, ItemPart, Recording, Speech, Words
from kimi_demo.wire.errors import reply_to
from kimi_demo.wire.realtime import ResponseConfig, SessionConfig

Told = dict[str, Any]


def session(config: SessionConfig, id_: str, model: str, expires_at: int) -> Told:
    """A session as it is set."""
    value = config.model_dump(exclude={"prompt", "reasoning", "parallel_tool_calls", "include"})
    for direction in ("input", "output"):
        form = value["audio"][direction]["format"]
        value["audio"][direction]["format"] = _format(form)
    turns = value["audio"]["input"]["turn_detection"]
    if turns and turns.get("idle_timeout_ms", 0) is None:
        turns.pop("idle_timeout_ms")
    heard = value["audio"]["input"]["transcription"]
    if heard:
        value["audio"]["input"]["transcription"] = {k: v for k, v in heard.items() if v}
    return value | {
        "id": id_,
        "object": "realtime.session",
        "model": model,
        "expires_at": expires_at,
        "tracing": None,
        "truncation": "auto",
    }


def _format(form: dict[str, Any]) -> Told:
    """Only PCM tells a rate."""
    is_pcm = form["type"] == "audio/pcm"
    return {"type": form["type"], **({"rate": OUTPUT_SAMPLE_RATE} if is_pcm else {})}


def error(exc: Exception, event_id: str | None = None) -> Told:
    """A failure that ends nothing. event_id: of the client's event that is to blame."""
    found = reply_to(exc).error.model_dump()
    found["event_id"] = event_id
    return {"type": "error", "error": found}


def item(value: Item, with_sound: bool = False) -> Told:
    """An item. with_sound: its recordings in base64, too, as PCM of 16 bits at 24 kHz."""
    return {
        "id": value.id,
        "object": "realtime.item",
        "type": "message",
        "status": value.status,
        "role": value.role,
        "content": [_content(part, value.role, with_sound) for part in value.parts],
    }


def _content(value: ItemPart, role: str, with_sound: bool) -> Told:
    match value:
        case Words(text):
            return {"type": "output_text" if role == "assistant" else "input_text", "text": text}
        case Speech():
            return {"type": "output_audio", "transcript": value.transcript}
        case Recording(sound, transcript):
            told: Told = {"type": "input_audio", "transcript": transcript or None}
            if with_sound:
                pcm = sound.resampled(OUTPUT_SAMPLE_RATE).pcm16()
                told["audio"] = base64.b64encode(pcm).decode()
            return told


def item_event(kind: str, value: Item, before: str | None) -> Told:
    """An item has come to the conversation, or is complete."""
    return {"type": kind, "item": item(value), "previous_item_id": before}


def output_item(kind: str, response_id: str, value: Item) -> Told:
    """An item has come to an answer, or is complete."""
    where = {"response_id": response_id, "output_index": 0}
    return {"type": f"response.output_item.{kind}", **where, "item": item(value)}


def part(speaks: bool, text: str = "") -> Told:
    """A content part of an answer."""
    return {"type": "audio", "transcript": text} if speaks else {"type": "text", "text": text}


def response(
    id_: str,
    status: str,
    why: Exception | str | None,
    output: list[Told],
    config: SessionConfig,
    wanted: ResponseConfig,
) -> Told:
    """An answer. why: what cut it off, or how it failed."""
    limit = wanted.max_output_tokens or config.max_output_tokens
    speech = config.audio.output
    return {
        "object": "realtime.response",
        "id": id_,
        "status": status,
        "status_details": _details(status, why),
        "output": output,
        "conversation_id": "conv" if wanted.conversation == "auto" else None,
        "output_modalities": wanted.output_modalities or config.output_modalities,
        "max_output_tokens": limit,
        "audio": {
            "output": {"format": _format(speech.format.model_dump()), "voice": voice_name(config)}
        },
        "metadata": wanted.metadata,
        "usage": None,
    }


def voice_name(config: SessionConfig) -> str:
    """Of the voice that answers."""
    voice = config.audio.output.voice
    return voice if isinstance(voice, str) else voice.id


def _details(status: str, why: Exception | str | None) -> Told | None:
    match status:
        case "cancelled":
            return {"type": "cancelled", "reason": why}
        case "incomplete":
            return {"type": "incomplete", "reason": "max_output_tokens"}
        case "failed" if isinstance(why, Exception):
            found = reply_to(why).error
            told = {"type": found.type, "message": found.message, "code": found.code or found.type}
            return {"type": "failed", "error": told}
    return None


def usage(finished: Finished) -> Told:
    """Tokens of an answer."""
    made = finished.text_tokens + finished.audio_tokens
    words = finished.prompt_tokens - finished.heard_tokens
    return {
        "total_tokens": finished.prompt_tokens + made,
        "input_tokens": finished.prompt_tokens,
        "output_tokens": made,
        "input_token_details": {
            "text_tokens": words,
            "audio_tokens": finished.heard_tokens,
            "cached_tokens": 0,
        },
        "output_token_details": {
            "text_tokens": finished.text_tokens,
            "audio_tokens": finished.audio_tokens,
        },
    }


_TRANSCRIPTION = "conversation.item.input_audio_transcription"


def transcript_delta(item_id: str, text: str) -> Told:
    """More of what the user was heard to say."""
    return {
        "type": f"{_TRANSCRIPTION}.delta",
        "item_id": item_id,
        "content_index": 0,
        "delta": text,
    }


def transcript_completed(item_id: str, text: str, seconds: float) -> Told:
    """All of it. seconds: of sound."""
    told = {"item_id": item_id, "content_index": 0, "transcript": text}
    usage = {"type": "duration", "seconds": round(seconds, 3)}
    return {"type": f"{_TRANSCRIPTION}.completed", **told, "usage": usage}


def transcript_failed(item_id: str, exc: Exception) -> Told:
    """It could not be written down."""
    found = reply_to(exc).error
    told = {"type": found.type, "message": found.message, "code": found.code or found.type}
    return {
        "type": f"{_TRANSCRIPTION}.failed",
        "item_id": item_id,
        "content_index": 0,
        "error": told,
    }
