"""POST /audio/speech: text in, sound out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from kimi_demo.encoding import MAX_SPEED, MIN_SPEED, SoundFormat
from kimi_demo.wire.progress import ASKED
from kimi_demo.wire.strict import Strict

MEDIA_TYPES: dict[SoundFormat, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
MAX_SEED = 2**53 - 1  # the largest that every reader of JSON knows exactly
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopK = Annotated[int, Field(ge=0, le=1000)]  # 0 takes all
RepetitionPenalty = Annotated[float, Field(gt=0, le=10)]


class VoiceId(Strict):
    """A voice by its id."""

    id: str = Field(description="One of GET /v1/audio/voices.")


class SpeechRequest(Strict):
    """A text to be read aloud."""

    input: str = Field(description="What is to be said; at most 5000 characters.")
    model: str = Field(description="A model or alias of GET /v1/models.")
    voice: str | VoiceId = Field(default="alloy", description="A name of GET /v1/audio/voices.")
    instructions: str | None = Field(
        None,
        max_length=4096,
        description="How to speak. Checkpoints that follow none ignore it, and say so in the "
        "header `x-ignored`.",
    )
    response_format: SoundFormat = Field(
        default="mp3",
        description="How the sound is encoded; pcm is 24 kHz, 16 bit, mono, no header.",
    )
    speed: float = Field(
        1.0, ge=MIN_SPEED, le=MAX_SPEED, description="Faster or slower; the pitch stays what it is."
    )
    stream_format: Literal["audio", "sse"] = Field(
        default="audio", description="The bytes of the sound, or server-sent events that hold them."
    )
    language: str | None = Field(
        None, description="An addition: a language that the model speaks; else it is detected."
    )
    seed: Seed = Field(0, description="An addition: the same seed gives the same speech.")
    temperature: Temperature | None = Field(
        None, description="An addition: how much the voice varies; 0 not at all."
    )
    top_k: TopK | None = Field(
        None, description="An addition: how many candidates each sound has; 0 all."
    )
    prompt: str | None = Field(
        None, description="An addition: a way to ask the model for speech, by its name."
    )
    check: bool = Field(
        False,
        description="An addition: the model listens to each sentence before it is sent, and speaks "
        "it once more if it cannot understand it.",
    )
    progress: bool = Field(False, description=f"{ASKED} Of server-sent events only.")


class SpeechUsage(BaseModel):
    """Tokens that were read and made."""

    input_tokens: int = Field(description="Of the prompt.")
    output_tokens: int = Field(description="Of text and speech.")
    total_tokens: int = Field(description="Both.")


class SpeechDelta(BaseModel):
    """More sound."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str = Field(description="Bytes of the chosen format, in base64.")


class SpeechText(BaseModel):
    """An addition: more of the words that are spoken."""

    type: Literal["speech.text.delta"] = "speech.text.delta"
    delta: str


class SpeechDone(BaseModel):
    """The end of the sound."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: SpeechUsage
    finish_reason: str | None = Field(
        default=None, description="An addition: stop, length or loop."
    )
