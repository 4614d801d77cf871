"""An answer in the making: bytes become sound, and everything is timed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from kimi_demo.audio import OUTPUT_SAMPLE_RATE
from kimi_demo.events import AudioDelta, Finished, FinishReason, TextDelta, Timings
from kimi_demo.messages import CODES_PER_S

_SCALE = 32767.0  # as `Audio.pcm16` writes it
_SAMPLE_BYTES = 2


class Tally:
    """Its clock starts with the request. Sound comes as 24 kHz, 16 bit, mono, no header."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first_text_s: float | None = None
        self._first_audio_s: float | None = None
        self._samples = 0
        self._half = b""

    def text(self, words: str) -> Iterator[TextDelta]:
        """Nothing for no words."""
        if words:
            if self._first_text_s is None:
                self._first_text_s = self._elapsed_s()
            yield TextDelta(words)

    def sound(self, content: bytes) -> Iterator[AudioDelta]:
        """Any number of bytes; half a sample waits for its other half."""
        content = self._half + content
        whole = len(content) - len(content) % _SAMPLE_BYTES
        self._half = content[whole:]
        if whole:
            if self._first_audio_s is None:
                self._first_audio_s = self._elapsed_s()
            waveform = np.frombuffer(content[:whole], "<i2").astype(np.float32) / _SCALE
            self._samples += len(waveform)
            yield AudioDelta(waveform.clip(-1.0, 1.0), OUTPUT_SAMPLE_RATE)

    @property
    def audio_s(self) -> float:
        """Of the sound so far."""
        return self._samples / OUTPUT_SAMPLE_RATE

    def spoken_tokens(self, made: int) -> int:
        """How many of the tokens that were made are sound, where the server says only the sum."""
        return min(made, round(self.audio_s * CODES_PER_S))

    def finished(
        self,
        reason: FinishReason = "stop",
        prompt_tokens: int = 0,
        text_tokens: int = 0,
        audio_tokens: int = 0,
        audio_id: str = "",
    ) -> Finished:
        """The ending, now. Token counts that the server does not tell are 0."""
        total_s = self._elapsed_s()
        timings = Timings(self._first_text_s, self._first_audio_s, total_s, self.audio_s)
        return Finished(
            reason, prompt_tokens, text_tokens, audio_tokens, timings, audio_id=audio_id
        )

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._began
