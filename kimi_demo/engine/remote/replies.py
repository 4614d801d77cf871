"""What a server says, read leniently: others leave out what ours sends, and send what ours does
not. What it does say must have the right type.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from kimi_demo.errors import EngineError
from kimi_demo.events import FinishReason

_REASONS: dict[str, FinishReason] = {"length": "length", "loop": "loop"}


class TokenDetails(BaseModel):
    """Of prompt or answer."""

    audio_tokens: int | None = None
    text_tokens: int | None = None


class Usage(BaseModel):
    """Tokens, under the names that chats and other endpoints have for them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: TokenDetails | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def read(self) -> int:
        """Of the prompt; 0 where nothing is said of it."""
        return self.prompt_tokens or self.input_tokens or 0

    @property
    def made(self) -> int:
        """Of the answer, text and sound; 0 where nothing is said of it."""
        return self.completion_tokens or self.output_tokens or 0


class Ending(BaseModel):
    """The last event of a stream of speech or of a transcript; or a whole transcript."""

    text: str = ""
    usage: Usage | None = None
    finish_reason: str | None = None


class Increment(BaseModel):
    """Any event of such a stream."""

    type: str
    audio: str = ""
    delta: str = ""


class AudioDelta(BaseModel):
    """More of a spoken answer."""

    id: str | None = None
    transcript: str | None = None
    data: str | None = None


class Delta(BaseModel):
    """More of an answer."""

    content: str | None = None
    refusal: str | None = None
    audio: AudioDelta | None = None
    heard: str | None = None


class Choice(BaseModel):
    """The only choice."""

    delta: Delta = Field(default_factory=Delta)
    finish_reason: str | None = None


class Chunk(BaseModel):
    """A piece of a chat's stream."""

    choices: list[Choice] = Field(default_factory=list)
    usage: Usage | None = None
    choice_probabilities: list[float] | None = None


Reply = TypeVar("Reply", bound=BaseModel)


def read(kind: type[Reply], value: Any) -> Reply:
    """Raises: EngineError if something has a wrong type."""
    try:
        return kind.model_validate(value)
    except ValidationError as exc:
        found = exc.errors()[0]
        place = ".".join(map(str, found["loc"]))
        raise EngineError(
            f"the server's reply cannot be read at {place!r}: {found['msg']}"
        ) from exc


def samples(text: str) -> bytes:
    """Raises: EngineError if this is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EngineError("the server's sound cannot be read: it is no base64") from exc


def reason(text: str | None) -> FinishReason:
    """What this code knows of the reasons that servers give."""
    return _REASONS.get(text or "", "stop")
