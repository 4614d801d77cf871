"""POST /audio/transcriptions and /audio/translations: sound in, text out."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from kimi_demo.events import Finished

TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]


class InputTokenDetails(BaseModel):
    """What the input tokens are."""

    audio_tokens: int = Field(description="Positions of the sound, 12.5 a second.")
    text_tokens: int = Field(description="Positions of the words around it.")


class TranscriptUsage(BaseModel):
    """Tokens that were read and written."""

    type: Literal["tokens"] = "tokens"
    input_tokens: int = Field(description="Of all that the model heard and was told.")
    output_tokens: int = Field(description="Of the words, and of those that were taken back.")
    total_tokens: int = Field(description="Both.")
    input_token_details: InputTokenDetails


class Transcription(BaseModel):
    """The reply in the format json."""

    text: str = Field(description="All that was said.")
    usage: TranscriptUsage
    finish_reason: str = Field(default="stop", description="An addition: stop, length or loop.")


class TranscriptSegment(BaseModel):
    """A piece of speech between two pauses. Typed clients want every number, also those that this
    model does not have.
    """

    id: int = Field(description="From 0.")
    seek: int = Field(description="Start in hundredths of a second.")
    start: float = Field(description="In seconds, as the voice activity detector found it.")
    end: float = Field(description="In seconds.")
    text: str
    tokens: list[int] = Field(default_factory=list[int], description="Not told: always empty.")
    temperature: float = Field(default=0.0, description="With which the text was drawn.")
    avg_logprob: float = Field(default=0.0, description="Not measured: always 0.")
    compression_ratio: float = Field(description="Bytes of the text over those of it in zlib.")
    no_speech_prob: float = Field(default=0.0, description="Not measured: always 0.")


class DurationUsage(BaseModel):
    """What was heard, as the verbose form counts it."""

    type: Literal["duration"] = "duration"
    seconds: float = Field(description="Of the sound.")


class VerboseTranscription(BaseModel):
    """The reply in the format verbose_json."""

    task: Literal["transcribe", "translate"]
    language: str = Field(
        description="english, chinese: as asked for, unless the words look otherwise; of a "
        "translation always english."
    )
    duration: float = Field(description="Of the sound, in seconds.")
    text: str
    segments: list[TranscriptSegment]
    usage: DurationUsage
    finish_reason: str = Field(default="stop", description="An addition: stop, length or loop.")


class TranscriptDelta(BaseModel):
    """More words."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str


class TranscriptDone(BaseModel):
    """All words."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    usage: TranscriptUsage
    finish_reason: str = Field(default="stop", description="An addition: stop, length or loop.")


def usage_of(finished: Finished) -> TranscriptUsage:
    """What one transcript took."""
    read, written = finished.prompt_tokens, finished.text_tokens
    heard = min(finished.heard_tokens, read)
    details = InputTokenDetails(audio_tokens=heard, text_tokens=read - heard)
    return TranscriptUsage(
        type="tokens",
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        input_token_details=details,
    )
