"""The sound that a client has sent and nobody has committed yet."""

from __future__ import annotations

import numpy as np

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.errors import TooLarge

SAMPLES_PER_MS = INPUT_SAMPLE_RATE // 1000


class SoundBuffer:
    """Samples at 16 kHz, addressed by milliseconds since the first that was ever appended.

    most_s: that it holds; more is refused.
    """

    def __init__(self, most_s: float) -> None:
        self._most = round(most_s * INPUT_SAMPLE_RATE)
        self._pieces: list[np.ndarray] = []
        self._first = 0  # sample at which the pieces begin
        self._held = 0

    @property
    def start_ms(self) -> int:
        return self._first // SAMPLES_PER_MS

    @property
    def end_ms(self) -> int:
        return (self._first + self._held) // SAMPLES_PER_MS

    def append(self, samples: np.ndarray) -> None:
        """samples: (T,) float32. Raises: TooLarge; then nothing was appended."""
        if self._held + len(samples) > self._most:
            most_s = self._most / INPUT_SAMPLE_RATE
            raise TooLarge(f"the buffer holds {most_s:g} s: commit or clear it", "audio")
        self._pieces.append(samples)
        self._held += len(samples)

    def all(self) -> Audio:
        """All that is held."""
        return Audio(self._joined(), INPUT_SAMPLE_RATE)

    def between(self, start_ms: int, end_ms: int) -> Audio:
        """As much of that span as is held."""
        first, last = (max(0, ms * SAMPLES_PER_MS - self._first) for ms in (start_ms, end_ms))
        return Audio(self._joined()[first:last], INPUT_SAMPLE_RATE)

    def forget_before(self, ms: int) -> None:
        """Drops what came earlier."""
        surplus = ms * SAMPLES_PER_MS - self._first
        while self._pieces and surplus >= len(self._pieces[0]):
            gone = len(self._pieces.pop(0))
            self._first, self._held, surplus = self._first + gone, self._held - gone, surplus - gone
        if self._pieces and surplus > 0:
            self._pieces[0] = self._pieces[0][surplus:]
            self._first, self._held = self._first + surplus, self._held - surplus

    def clear(self) -> None:
        """Drops all; time goes on."""
        self.forget_before(self.end_ms + 1)

    def _joined(self) -> np.ndarray:
        if len(self._pieces) != 1:
            self._pieces = [np.concatenate([np.zeros(0, np.float32), *self._pieces])]
        return self._pieces[0]
