"""How a waveform is cut for both audio encoders, so that codes and features count alike.

16 kHz samples -> 100 Hz log-mel frames -> 50 Hz encoder frames -> 12.5 Hz positions. Both encoders
split at the window that their position table covers (30 s as released), without overlap; a window
of S samples gives ceil(S / 1280) positions (quirk 20 of the reference).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import WhisperConfig, WhisperFeatureExtractor

CONV_STRIDE = 2  # of the second convolution: mel frames per encoder frame
STACK = 4  # encoder frames per position


@dataclass(frozen=True)
class Framing:
    """hop_samples: waveform samples per mel frame; window_frames: encoder frames per window."""

    hop_samples: int
    window_frames: int

    @classmethod
    def of(cls, config: WhisperConfig, extractor: WhisperFeatureExtractor) -> Framing:
        return cls(extractor.hop_length, config.max_source_positions)

    @property
    def samples_per_frame(self) -> int:
        return self.hop_samples * CONV_STRIDE

    @property
    def samples_per_position(self) -> int:
        return self.samples_per_frame * STACK

    @property
    def window_samples(self) -> int:
        return self.window_frames * self.samples_per_frame

    def positions(self, num_samples: int) -> int:
        """Codes or features for a waveform of this length."""
        whole, rest = divmod(num_samples, self.window_samples)
        per_window = self.window_samples // self.samples_per_position
        return whole * per_window + -(-rest // self.samples_per_position)

    def windows(self, waveform: np.ndarray) -> list[np.ndarray]:
        """Cuts (T,) into windows; the last one is shorter."""
        size = self.window_samples
        return [waveform[start : start + size] for start in range(0, len(waveform), size)]
