"""Waveform to semantic tokens: a Whisper encoder cut in half, pooled to 12.5 Hz, nearest code wins.

Differences from Whisper's encoder, in the order of the code: causal convolutions,
attention that sees whole blocks of the past and its own block, average pooling over four frames, a
codebook.
Source: GLM-4-Voice (arXiv 2412.02612); tensor names are those of its released tokenizer.
Axes: B windows, T time, M mel bins, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperFeatureExtractor

from kimi_demo.model.framing import STACK, Framing
from kimi_demo.model.tensors import empty_modules
from kimi_demo.model.whisper import EncoderLayer


class CausalConv1d(nn.Conv1d):
    """A convolution that sees no future: all padding is on the left."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T) -> (B, C', ceil(T / stride))."""
        reach = (self.kernel_size[0] - 1) * self.dilation[0]
        return super().forward(F.pad(x, (reach, 0)))


class SpeechTokenizerEncoder(nn.Module):
    """Log-mel to pooled states and their codes."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width = config.d_model
        self.block_frames: int = config.quantize_causal_block_size
        self.conv1 = CausalConv1d(config.num_mel_bins, width, 3)
        self.conv2 = CausalConv1d(width, width, 3, stride=2)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        depth = config.quantize_position
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(depth))
        self.codebook = nn.Embedding(config.quantize_vocab_size, width)

    def forward(self, mel: Tensor, frame_mask: Tensor) -> Tensor:
        """States before quantisation.

        mel: (B, M, T) log-mel, T a multiple of 8; frame_mask: (B, T), true on sound, false on
            padding.
        Returns: (B, T / 8, D).
        """
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)  # (B, T / 2, D)
        x = x + self.embed_positions.weight[: x.shape[1]]
        visible = self._visible(frame_mask[:, ::2])
        for layer in self.layers:
            x = layer(x, visible)
        return F.avg_pool1d(x.transpose(1, 2), STACK).transpose(1, 2)

    def quantize(self, states: Tensor) -> Tensor:
        """(..., D) -> (...) id of the code at the smallest squared distance."""
        codes = self.codebook.weight
        products = states @ codes.T
        distances = states.square().sum(-1, keepdim=True) - 2 * products + codes.square().sum(-1)
        return distances.argmin(-1)

    def _visible(self, frame_mask: Tensor) -> Tensor:
        """(B, T) -> (B, 1, T, T), true where the query may see the key."""
        blocks = torch.arange(frame_mask.shape[1], device=frame_mask.device) // self.block_frames
        earlier_or_same = blocks[None, :] <= blocks[:, None]
        return (earlier_or_same & frame_mask[:, None, :].bool())[:, None]


class SpeechTokenizer:
    """Waveforms in, lists of semantic ids out."""

    def __init__(
        self,
        encoder: SpeechTokenizerEncoder,
        config: WhisperConfig,
        extractor: WhisperFeatureExtractor,
    ) -> None:
        self.encoder = encoder.eval()
        self.extractor = extractor
        self.framing = Framing.of(config, extractor)

    @classmethod
    def build(cls, folder: Path) -> SpeechTokenizer:
        """An unfilled tokenizer, on the meta device, from a folder with config.json and
        preprocessor_config.json."""
        config = WhisperConfig.from_pretrained(folder)
        extractor = WhisperFeatureExtractor.from_pretrained(folder)
        with empty_modules():
            encoder = SpeechTokenizerEncoder(config)
        return cls(encoder, config, extractor)

    @torch.inference_mode()
    def encode(self, waveform: np.ndarray) -> list[int]:
        """(T,) float32 at 16 kHz -> ceil(T / 1280) ids per window of 30 s (as released)."""
        ids: list[int] = []
        for window in self.framing.windows(waveform):
            ids += self.encode_windows([window])[0]
        return ids

    @torch.inference_mode()
    def encode_windows(self, windows: Sequence[np.ndarray]) -> list[list[int]]:
        """Several windows in one call; rows do not influence each other."""
        mel, frame_mask = self.features(windows)
        ids = self.encoder.quantize(self.encoder(mel, frame_mask))
        counts = [self.framing.positions(len(window)) for window in windows]
        return [row[:count].tolist() for row, count in zip(ids, counts, strict=True)]

    def features(self, windows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Windows (T,) to log-mel (B, M, T') and its mask (B, T'), padded to whole positions."""
        features = self.extractor(
            [np.asarray(window, np.float32) for window in windows],
            sampling_rate=self.extractor.sampling_rate,
            padding="longest",
            truncation=False,
            pad_to_multiple_of=self.framing.samples_per_position,
            return_attention_mask=True,
            return_tensors="pt",
        )
        weight = self.encoder.conv1.weight
        mel = features["input_features"].to(weight.device, weight.dtype)
        return mel, features["attention_mask"].to(weight.device)
