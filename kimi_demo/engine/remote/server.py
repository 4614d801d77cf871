"""A server as its requests need to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kimi_demo.engine.remote.connection import Connection
from kimi_demo.errors import InputError
from kimi_demo.messages import StreamSampling


@dataclass(frozen=True)
class Server:
    """Where requests go, and what they say as `model` and `voice`.

    ours: it is one of this code and understands the additions.
    """

    connection: Connection
    ours: bool
    chat_model: str
    speech_model: str
    transcription_model: str
    translation_model: str
    voice: str


def drawn(words: StreamSampling) -> dict[str, Any]:
    """How our own server is to draw words; others have no such parameters, or other defaults."""
    return {
        "temperature": words.temperature,
        "top_k": words.top_k,
        "repetition_penalty": words.repetition_penalty,
    }


def refused(exc: ValidationError) -> InputError:
    """A request that no server of this protocol takes."""
    found = exc.errors()[0]
    return InputError(f"the server takes no such request: {found['loc'][-1]}: {found['msg']}")
