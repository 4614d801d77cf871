"""What comes out: a stream of typed events, and the whole answer as its fold. Pure values, no
torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kimi_demo.errors import EngineError

# "stop": the model ended its answer. "length": the limit did. "loop": it only repeated itself.
FinishReason = Literal["stop", "length", "loop"]


@dataclass(frozen=True)
class Queued:
    """Others are served first. ahead: how many; 0 once, when this request's turn has come.

    It is repeated while the request waits, so that whoever reads the stream can go away.
    """

    ahead: int


@dataclass(frozen=True)
class Started:
    """The request was accepted and its prompt built."""

    prompt_tokens: int


@dataclass(frozen=True)
class Stepped:
    """One decode step more was done, whether or not anything came of it: whoever reads the stream
    can go away after each. Both counts are those of the answer so far.
    """

    text_tokens: int
    audio_tokens: int


@dataclass(frozen=True)
class TextDelta:
    """More of the answer's text; never half a character."""

    text: str


@dataclass(frozen=True)
class HeardDelta:
    """More of what the model heard the user say, as far as it writes that down before it answers;
    no part of the answer. Never half a character.
    """

    text: str


@dataclass(frozen=True)
class StartedOver:
    """All text so far is void: the question was put once more and its answer follows.

    Engines never send it; it comes from the service that asks again.
    """


@dataclass(frozen=True, eq=False)
class AudioDelta:
    """More of the answer's sound. waveform: (T,) float32 in [-1, 1]; sample_rate in Hz."""

    waveform: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class Weighed:
    """Probability of each of the request's options, in their order; they sum to one."""

    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Timings:
    """Seconds from the acceptance of the request; None where nothing came."""

    first_text_s: float | None
    first_audio_s: float | None
    total_s: float
    audio_s: float

    @property
    def rtf(self) -> float | None:
        """Real-time factor: compute seconds per second of sound; below 1 keeps up with playback."""
        return self.total_s / self.audio_s if self.audio_s else None


@dataclass(frozen=True)
class Finished:
    """The answer is complete. audio_codes and text rebuild it as history (SpokenPart); where the
    codes stay with a server, audio_id stands for them there.
    """

    reason: FinishReason
    prompt_tokens: int
    text_tokens: int
    audio_tokens: int
    timings: Timings
    audio_codes: tuple[int, ...] = ()
    audio_id: str = ""


Event = (
    Queued
    | Started
    | Stepped
    | HeardDelta
    | TextDelta
    | StartedOver
    | AudioDelta
    | Weighed
    | Finished
)


@dataclass(frozen=True, eq=False)
class Answer:
    """A whole answer. waveform: (T,) float32, empty if nothing was spoken.

    probabilities: of the request's options, empty if there were none. heard: what the model heard
    the user say, empty if it does not tell.
    """

    text: str
    waveform: np.ndarray
    sample_rate: int
    finished: Finished
    probabilities: tuple[float, ...] = ()
    heard: str = ""


def collect(events: Iterable[Event]) -> Answer:
    """Folds a stream into the whole answer.

    Raises: EngineError if the stream ends without Finished.
    """
    heard: list[str] = []
    text: list[str] = []
    pieces: list[np.ndarray] = []
    sample_rate = 0
    finished: Finished | None = None
    probabilities: tuple[float, ...] = ()
    for event in events:
        match event:
            case HeardDelta():
                heard.append(event.text)
            case TextDelta():
                text.append(event.text)
            case StartedOver():
                heard.clear()
                text.clear()
            case AudioDelta():
                pieces.append(event.waveform)
                sample_rate = event.sample_rate
            case Weighed():
                probabilities = event.probabilities
            case Finished():
                finished = event
            case Queued() | Started() | Stepped():
                pass
    if finished is None:
        raise EngineError("the answer broke off; send the request again")
    waveform = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    said = "".join(heard).strip()
    return Answer("".join(text), waveform, sample_rate, finished, probabilities, said)
