"""What comes out: a stream of typed events; the whole answer and its times are folds of it. Pure
values, no torch.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from kimi_demo.errors import EngineError
from kimi_demo.text.languages import flowing

# "stop": the model ended its answer. "length": the limit did. "loop": it only repeated itself.
FinishReason = Literal["stop", "length", "loop"]


@dataclass(frozen=True)
class Queued:
    """Others are served first. ahead: how many; 0 once, when this job's turn has come. wait_s: how
    long that may take, an estimate.

    It is repeated while the job waits, so that whoever reads the stream can go away.
    """

    ahead: int
    wait_s: float = field(default=0.0, compare=False)


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
    """All text since the last SegmentStarted, or all of it, is void: the question was put once more
    and its answer follows.
    """


@dataclass(frozen=True)
class SentenceStarted:
    """The next sentence of a reading is in work. index counts from 1."""

    index: int
    total: int
    text: str


@dataclass(frozen=True)
class Checked:
    """How well the model understood its own speech of a sentence.

    edits: characters to change, add or drop in what was heard. chars: of the text; punctuation,
    case and spaces count in neither. seed: of the speech that was kept. tries: 1 or 2.
    """

    heard: str
    edits: int
    chars: int
    seed: int
    tries: int

    @property
    def error_rate(self) -> float:
        """Edits for each character of the text; above 1 if more was said than written."""
        return self.edits / max(1, self.chars)


@dataclass(frozen=True)
class SegmentStarted:
    """The next piece of speech is listened to. index counts from 1."""

    index: int
    total: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Segment:
    """What was said from start_s to end_s of the recording."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """All that was said, in order. language: see `spoken_language`."""

    segments: tuple[Segment, ...]
    language: str

    @property
    def text(self) -> str:
        return flowing(segment.text for segment in self.segments)


@dataclass(frozen=True, eq=False)
class AudioDelta:
    """More of the answer's sound. waveform: (T,) float32 in [-1, 1]; sample_rate in Hz.

    codes: those whose sound ends with or in this piece, so that a history can be cut at what was
    heard; empty where the engine does not tell, and for silence between sentences.
    """

    waveform: np.ndarray
    sample_rate: int
    codes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Weighed:
    """Probability of each option, in the order of `options`, their labels; they sum to one."""

    probabilities: tuple[float, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timings:
    """Seconds from the moment at which the job's turn came; None where nothing came."""

    first_text_s: float | None = None
    first_audio_s: float | None = None
    total_s: float = 0.0
    audio_s: float = 0.0

    @property
    def rtf(self) -> float | None:
        """Real-time factor: compute seconds per second of sound; below 1 keeps up with playback."""
        return self.total_s / self.audio_s if self.audio_s else None


@dataclass(frozen=True)
class Finished:
    """The answer is complete. audio_codes and text rebuild it as history (SpokenPart); where the
    codes stay with a server, audio_id stands for them there.

    timings: what `Stopwatch` measured. heard_tokens: positions of the prompt that held sound.
    """

    reason: FinishReason
    prompt_tokens: int
    text_tokens: int
    audio_tokens: int
    timings: Timings = Timings()
    audio_codes: tuple[int, ...] = ()
    audio_id: str = ""
    heard_tokens: int = 0


Event = (
    Queued
    | Started
    | Stepped
    | SentenceStarted
    | SegmentStarted
    | HeardDelta
    | TextDelta
    | StartedOver
    | AudioDelta
    | Weighed
    | Checked
    | Transcript
    | Finished
)


class Stopwatch:
    """Measures a job by its events, from the moment on at which nobody is ahead of it.

    clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self._waits = True
        self.first_text_s: float | None = None
        self.first_audio_s: float | None = None
        self._samples: dict[int, int] = {}  # by their rate

    def take(self, event: Event) -> Event:
        """The same event; Finished with what was measured."""
        match event:
            case Queued(ahead):
                if self._waits:
                    self._began = self._clock()
                self._waits = ahead > 0
            case TextDelta() if self.first_text_s is None:
                self.first_text_s = self._elapsed_s()
            case AudioDelta():
                if self.first_audio_s is None and event.waveform.any():
                    self.first_audio_s = self._elapsed_s()
                before = self._samples.get(event.sample_rate, 0)
                self._samples[event.sample_rate] = before + len(event.waveform)
            case Finished():
                return dataclasses.replace(event, timings=self._timings())
            case _:
                pass
        return event

    def _timings(self) -> Timings:
        audio_s = sum(samples / rate for rate, samples in self._samples.items())
        return Timings(self.first_text_s, self.first_audio_s, self._elapsed_s(), audio_s)

    def _elapsed_s(self) -> float:
        return self._clock() - self._began


@dataclass(frozen=True, eq=False)
class Answer:
    """A whole answer. waveform: (T,) float32, empty if nothing was spoken.

    probabilities: of `options`, the labels that were weighed; empty if there were none. heard: what
    the model heard the user say, empty if it does not tell.
    """

    text: str
    waveform: np.ndarray
    sample_rate: int
    finished: Finished
    probabilities: tuple[float, ...] = ()
    heard: str = ""
    options: tuple[str, ...] = ()


def collect(events: Iterable[Event]) -> Answer:
    """Folds a stream into the whole answer.

    Raises: EngineError if the stream ends without Finished.
    """
    heard: list[str] = []
    text: list[str] = []
    pieces: list[np.ndarray] = []
    sample_rate = 0
    finished: Finished | None = None
    weighed = Weighed(())
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
                weighed = event
            case Finished():
                finished = event
            case _:
                pass
    if finished is None:
        raise EngineError("the answer broke off; send the request again")
    waveform = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    said = "".join(heard).strip()
    probabilities, options = weighed.probabilities, weighed.options
    return Answer("".join(text), waveform, sample_rate, finished, probabilities, said, options)
