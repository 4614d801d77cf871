"""Waveform to acoustic features: Whisper's encoder, four neighbouring frames stacked (12.5 Hz).

Every window is padded to its full length and the padding is attended to, as in the released model.
Axes: T positions, D encoder width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from kimi_demo.model.framing import CONV_STRIDE, STACK, Framing


class AcousticEncoder:
    """Waveforms in, continuous features out."""

    def __init__(self, encoder: WhisperEncoder, extractor: WhisperFeatureExtractor) -> None:
        self.encoder = encoder.eval()
        self.extractor = extractor
        self.framing = Framing.of(encoder.config, extractor)

    @classmethod
    def build(cls, folder: Path) -> AcousticEncoder:
        """An unfilled encoder, on the meta device, from a folder with config.json and, if it
        differs from large-v3's, preprocessor_config.json."""
        config = WhisperConfig.from_pretrained(folder, attn_implementation="sdpa")
        frames = config.max_source_positions * CONV_STRIDE
        if (folder / "preprocessor_config.json").exists():
            extractor = WhisperFeatureExtractor.from_pretrained(folder)
        else:
            extractor = WhisperFeatureExtractor(
                feature_size=config.num_mel_bins, chunk_length=frames // 100
            )
        with torch.device("meta"):
            encoder = WhisperEncoder(config)
        return cls(encoder, extractor)

    @torch.inference_mode()
    def encode(self, waveform: np.ndarray) -> Tensor:
        """(T,) float32 at 16 kHz -> (positions, 4 D)."""
        return torch.cat([self._encode_window(w) for w in self.framing.windows(waveform)])

    def features(self, window: np.ndarray) -> Tensor:
        """One window (T,) -> log-mel (1, M, frames) padded with silence to the full window."""
        padded = np.zeros(self.framing.window_samples, np.float32)
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

    def _encode_window(self, window: np.ndarray) -> Tensor:
        states = self.encoder(self.features(window)).last_hidden_state[0]
        kept = states[: self.framing.positions(len(window)) * STACK]
        return kept.reshape(-1, STACK * kept.shape[-1])
