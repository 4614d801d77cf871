"""When the user begins to speak and when they have finished, from the sound alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kimi_demo.audio import INPUT_SAMPLE_RATE
from kimi_demo.voice_activity import FRAME_SAMPLES, SpeechStream
from kimi_demo.wire.realtime import SemanticVad, ServerVad

FRAME_MS = FRAME_SAMPLES * 1000 // INPUT_SAMPLE_RATE
CONFIRM_MS = 160  # of speech before it counts: a cough is shorter
PAUSE_MS = 160  # of silence after which the turn may be over
RETURN_MS = 64  # of speech that ends a pause
HYSTERESIS = 0.15  # speech goes on at a lower probability than it begins with
JUDGED_SAMPLES = 8 * INPUT_SAMPLE_RATE
JUDGED_BEFORE_MS = 500  # of a turn; what was said earlier is another one
# Silence to wait for by how complete a turn sounds: (at least so likely, ms), and else; as in
# SGLang-Omni's semantic_vad.
WAITS_MS = {
    "low": ((0.99, 500), (0.92, 1200), (0.0, 3000)),
    "medium": ((0.97, 250), (0.88, 640), (0.0, 2000)),
    "high": ((0.93, 200), (0.80, 320), (0.0, 1200)),
}


@dataclass(frozen=True)
class SpeechStarted:
    """Somebody speaks. start_ms: since the first sample that was pushed."""

    start_ms: int


@dataclass(frozen=True)
class Paused:
    """The turn may be over; its sound would end at end_ms."""

    end_ms: int


@dataclass(frozen=True)
class Resumed:
    """It was not."""


@dataclass(frozen=True)
class SpeechStopped:
    """The turn is over; its sound ends at end_ms, as the last `Paused` said."""

    end_ms: int


Detection = SpeechStarted | Paused | Resumed | SpeechStopped


class TurnJudge(Protocol):
    """How likely a turn that ends like this is complete. sound: (T,) float32 at 16 kHz."""

    def __call__(self, sound: np.ndarray) -> float: ...


class TurnDetector:
    """Silero's probabilities, counted. judge: for semantic detection. since_ms: where in a sound
    it begins to listen.
    """

    def __init__(
        self,
        config: ServerVad | SemanticVad,
        judge: TurnJudge | None = None,
        since_ms: int = 0,
    ) -> None:
        self._config, self._judge = config, judge
        self._threshold = config.threshold if isinstance(config, ServerVad) else 0.5
        self._stream = SpeechStream()
        self._last = np.zeros(0, np.float32)  # of the sound, as much as a judge hears
        self._ahead = 0  # samples of it after the frame in work
        self._now_ms = since_ms
        self._speaking = self._paused = False
        self._voiced_ms = self._silent_ms = self._wait_ms = 0

    def push(self, samples: np.ndarray) -> list[Detection]:
        """samples: (T,) float32 at 16 kHz that follow those before."""
        if self._judge:
            self._last = np.concatenate([self._last, samples])
            self._ahead += len(samples)
        found: list[Detection] = []
        for probability in self._stream.push(samples).tolist():
            self._now_ms += FRAME_MS
            self._ahead -= FRAME_SAMPLES
            found += self._heard(probability)
        self._last = self._last[-JUDGED_SAMPLES - FRAME_SAMPLES :]
        return found

    def _heard(self, probability: float) -> Iterator[Detection]:
        begins = self._threshold
        goes_on = max(begins - HYSTERESIS, begins / 2)  # a low one ends, too
        voiced = probability >= (goes_on if self._voiced_ms else begins)
        self._voiced_ms = self._voiced_ms + FRAME_MS if voiced else 0
        if self._speaking:
            yield from self._speech_goes_on()
        elif self._voiced_ms >= CONFIRM_MS:
            self._speaking, self._paused, self._silent_ms = True, False, 0
            self._forget_earlier_turns()
            yield SpeechStarted(self._now_ms - self._voiced_ms)

    def _speech_goes_on(self) -> Iterator[Detection]:
        if self._voiced_ms >= (RETURN_MS if self._paused else FRAME_MS):
            self._silent_ms = 0
            if self._paused:
                self._paused = False
                yield Resumed()
            return
        self._silent_ms += FRAME_MS
        if not self._paused and self._silent_ms >= PAUSE_MS:
            self._paused, self._pause_end_ms = True, self._now_ms
            self._wait_ms = self._silence_to_wait_for()
            yield Paused(self._pause_end_ms)
        if self._paused and self._silent_ms >= self._wait_ms:
            self._speaking, self._voiced_ms = False, 0
            yield SpeechStopped(self._pause_end_ms)

    def _silence_to_wait_for(self) -> int:
        if isinstance(self._config, ServerVad):
            return self._config.silence_duration_ms
        assert self._judge is not None
        complete = self._judge(self._last[: len(self._last) - self._ahead][-JUDGED_SAMPLES:])
        eagerness = "medium" if self._config.eagerness == "auto" else self._config.eagerness
        return next(ms for least, ms in WAITS_MS[eagerness] if complete >= least)

    def _forget_earlier_turns(self) -> None:
        kept_ms = JUDGED_BEFORE_MS + self._voiced_ms
        kept = self._ahead + kept_ms * INPUT_SAMPLE_RATE // 1000
        self._last = self._last[-kept:]
