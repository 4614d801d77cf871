"""What is said, and how an answer is drawn: messages and sampling. Pure values, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kimi_demo.audio import Audio

CODES_PER_S = 12.5  # of speech: a position of the prompt, and a decode step, for each

Role = Literal["user", "assistant"]
OutputType = Literal["text", "both"]


@dataclass(frozen=True)
class TextPart:
    """Written words.

    asks_for_answer: where they end a user's turn, they are followed by the mark that follows
    sounds and asks for the kind of answer.
    """

    text: str
    asks_for_answer: bool = False


@dataclass(frozen=True)
class AudioPart:
    audio: Audio


@dataclass(frozen=True)
class SpokenPart:
    """What the assistant once said: its semantic codes beside their text, so that history needs no
    second encoding (the `audio-text` message of the reference).

    id: what stands for the codes at the server that spoke, if they stay there.
    """

    codes: tuple[int, ...]
    text: str
    id: str = ""


Part = TextPart | AudioPart | SpokenPart


@dataclass(frozen=True)
class Message:
    """One turn of one speaker; parts in the order in which they were given."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class StreamSampling:
    """How the next id of one stream is drawn. Temperature 0 takes the likeliest."""

    temperature: float = 0.0
    top_k: int = 5
    repetition_penalty: float = 1.0
    repetition_window_tokens: int = 16

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or self.repetition_window_tokens < 0:
            raise ValueError("temperature, top_k and repetition window must not be negative")


@dataclass(frozen=True)
class Sampling:
    """Both streams; the defaults are the published ones (infer.py of the reference)."""

    text: StreamSampling = StreamSampling()
    audio: StreamSampling = StreamSampling(temperature=0.8, top_k=10, repetition_window_tokens=64)


@dataclass(frozen=True)
class Option:
    """One of several answers to choose from.

    label: what people read. answer: what the model would write for it.
    """

    label: str
    answer: str
