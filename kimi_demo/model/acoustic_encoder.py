"""Waveform to acoustic features: Whisper's encoder, four neighbouring frames stacked (12.5 Hz).

Every window is padded and the padding is attended to. The released model pads to the full window; a
checkpoint whose config.json holds `pad_seconds` hears so much silence after a shorter sound and no
more, up to whole positions.
Axes: B batch, M mel bins, T time, D encoder width.
"""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor

from kimi_demo.errors import CheckpointError
from kimi_demo.model.framing import CONV_STRIDE, STACK, Framing
from kimi_demo.model.tensors import empty_modules
from kimi_demo.model.whisper import WhisperEncoder

PAD_KEY = "pad_seconds"  # of config.json; absent, every window is padded to its full length


class AcousticEncoder:
    """Waveforms in, continuous features out."""

    def __init__(self, encoder: WhisperEncoder, extractor: WhisperFeatureExtractor) -> None:
        self.encoder = encoder.eval()
        self.extractor = extractor
        self.framing = Framing.of(encoder.config, extractor)
        self._pad_samples = _pad_samples(encoder.config, extractor.sampling_rate)

    @classmethod
    def build(cls, folder: Path) -> AcousticEncoder:
        """An unfilled encoder, on the meta device, from a folder with config.json and, if it
        differs from large-v3's, preprocessor_config.json."""
        config = WhisperConfig.from_pretrained(folder)
        frames = config.max_source_positions * CONV_STRIDE
        if (folder / "preprocessor_config.json").exists():
            extractor = WhisperFeatureExtractor.from_pretrained(folder)
        else:
            extractor = WhisperFeatureExtractor(
                feature_size=config.num_mel_bins, chunk_length=frames // 100
            )
        with empty_modules():
            encoder = WhisperEncoder(config)
        return cls(encoder, extractor)

    @torch.inference_mode()
    def encode(self, waveform: np.ndarray) -> Tensor:
        """(T,) float32 at 16 kHz -> (positions, 4 D)."""
        return torch.cat([self._encode_window(w) for w in self.framing.windows(waveform)])

    def features(self, window: np.ndarray) -> Tensor:
        """One window (T,) -> log-mel (1, M, frames), with the silence that is heard after it."""
        padded = np.zeros(self.heard_samples(len(window)), np.float32)
        padded[: len(window)] = window
        features = self.extractor(
            padded,
            sampling_rate=self.extractor.sampling_rate,
            padding=False,
            truncation=False,
            return_tensors="pt",
        )
        weight = self.encoder.conv1.weight
        return features["input_features"].to(weight.device, weight.dtype)

    def heard_samples(self, num_samples: int) -> int:
        """Samples of a window, silence included, that holds so many of a sound: whole positions."""
        if self._pad_samples is None:
            return self.framing.window_samples
        size = self.framing.samples_per_position
        wanted = -(-(num_samples + self._pad_samples) // size) * size
        return min(wanted, self.framing.window_samples)

    def _encode_window(self, window: np.ndarray) -> Tensor:
        states = self.encoder(self.features(window))[0]
        kept = states[: self.framing.positions(len(window)) * STACK]
        return kept.reshape(-1, STACK * kept.shape[-1])


def _pad_samples(config: WhisperConfig, sample_rate_hz: int) -> int | None:
    """Silence after a sound; None fills the window. Raises: CheckpointError for no length."""
    seconds = getattr(config, PAD_KEY, None)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < inf:
        raise CheckpointError(f"{PAD_KEY} of the acoustic encoder is no length: {seconds!r}")
    return round(seconds * sample_rate_hz)
