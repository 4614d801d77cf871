"""The forms in which sounds arrive: multipart, list fields with brackets, as clients of OpenAI
write them. A field that is not here is refused by name.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from kimi_demo.errors import InputError
from kimi_demo.messages import Sampling
from kimi_demo.wire.progress import AGAIN, ASKED
from kimi_demo.wire.speech import RepetitionPenalty, Seed, Temperature, TopK
from kimi_demo.wire.transcription import TranscriptFormat


class SoundForm(BaseModel):
    """A sound, and how what is said in it is to be told."""

    model_config = ConfigDict(extra="forbid")

    file: UploadFile = Field(
        description="wav, flac, mp3, m4a, mp4, ogg, opus or webm of any sample rate and up to 16 "
        "channels, at most an hour and 100 MB; the file itself is asked, whatever its name says."
    )
    model: str = Field(description="A model or alias of GET /v1/models.")
    prompt: str | None = Field(
        None,
        description="Has no effect, since the model's own instruction is fixed; the header "
        "`x-ignored` says so.",
    )
    response_format: TranscriptFormat = Field(
        "json", description="The form of the reply; srt, vtt and verbose_json hold times."
    )
    temperature: Temperature | None = Field(
        None, description="How freely words are drawn; 0 takes the likeliest."
    )
    stream: bool = Field(
        False,
        description="Send the words while they are found, as server-sent events; for the format "
        "json only. What a stream has sent is never taken back, so a part that went wrong is not "
        "heard a second time.",
    )
    seed: Seed = Field(0, description="An addition: the same seed draws the same words.")
    top_k: TopK | None = Field(
        None, description="An addition: candidates of each word; 0 takes all."
    )
    repetition_penalty: RepetitionPenalty | None = Field(
        None, description="An addition: above 1 the words repeat themselves less."
    )
    again: bool | None = Field(None, description=AGAIN)
    progress: bool = Field(False, description=f"{ASKED} Of a stream.")

    @property
    def may_try_again(self) -> bool:
        """What a stream has told is not taken back, unless it can say so."""
        return self.again is not False and (self.progress or not self.stream)

    def check(self) -> None:
        """Raises: InputError for what cannot be served together."""
        if self.stream and self.response_format != "json":
            raise InputError(
                f"a stream cannot be {self.response_format}: leave response_format out, or stream",
                param="response_format",
            )

    @property
    def draws(self) -> dict[str, Any]:
        """What is asked for in place of the usual sampling."""
        names = ("temperature", "top_k", "repetition_penalty")
        return {name: v for name in names if (v := getattr(self, name)) is not None}

    def sampling(self, usual: Sampling) -> Sampling:
        """The usual, with what is asked for in its place."""
        return dataclasses.replace(usual, text=dataclasses.replace(usual.text, **self.draws))

    def hints(self) -> dict[str, object]:
        return {"prompt": self.prompt}


class TranslationForm(SoundForm):
    """A sound whose words are wanted in English."""


class TranscriptionForm(SoundForm):
    """A sound whose words are wanted as they were said."""

    language: str | None = Field(
        None,
        description="What is spoken: en, zh; else it is detected. A checkpoint that knows the "
        "language and always detects it ignores this, and says so in the header `x-ignored`.",
    )
    wording: str | None = Field(
        None, description="An addition: a published instruction by its name, as measured with."
    )
    timestamp_granularities: list[Literal["segment", "word"]] = Field(
        default_factory=list[Literal["segment", "word"]],
        alias="timestamp_granularities[]",
        description="segment, which verbose_json always has; this model has no times of words.",
    )
    include: list[str] = Field(
        default_factory=list,
        alias="include[]",
        description="Nothing can be included: there are no log probabilities of words.",
    )
    chunking_strategy: Literal["auto"] | None = Field(
        None, description="auto: long sounds are always cut where nobody speaks."
    )
    chunking_type: Literal["server_vad"] | None = Field(
        None,
        alias="chunking_strategy[type]",
        description="server_vad: the same; the three values that belong to it have no effect.",
    )
    chunking_threshold: float | None = Field(
        None, alias="chunking_strategy[threshold]", description="Has no effect."
    )
    chunking_padding_ms: int | None = Field(
        None, alias="chunking_strategy[prefix_padding_ms]", description="Has no effect."
    )
    chunking_silence_ms: int | None = Field(
        None, alias="chunking_strategy[silence_duration_ms]", description="Has no effect."
    )
    keywords: list[str] = Field(
        default_factory=list,
        alias="keywords[]",
        description="Words that may come up; has no effect.",
    )
    languages: list[str] = Field(
        default_factory=list,
        alias="languages[]",
        description="Languages that may come up; has no effect.",
    )

    def check(self) -> None:
        """Raises: InputError for what this model cannot tell."""
        super().check()
        if "word" in self.timestamp_granularities:
            raise InputError(
                "this model gives the times of segments only, not of words: ask for 'segment'",
                param="timestamp_granularities",
            )
        if self.include:
            raise InputError(
                f"{self.include[0][:64]!r} cannot be included: leave it out", param="include"
            )

    def hints(self) -> dict[str, object]:
        chunking = (self.chunking_threshold, self.chunking_padding_ms, self.chunking_silence_ms)
        return {
            **super().hints(),
            "keywords": self.keywords,
            "languages": self.languages,
            "chunking_strategy": any(value is not None for value in chunking),
        }
