"""Joins the waveforms of successive mel chunks without a seam.

T time in mel frames, S time in samples. Vocoding a chunk alone lets its edges sound wrong, for the
vocoder misses their neighbours. So the end of each chunk is held back, vocoded again together with
the next chunk, and the two versions are cross-faded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kimi_demo.model.detokenizer.config import StreamingConfig
from kimi_demo.model.detokenizer.vocoder import Vocoder


def fade_weights(samples: int, crossfade: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights (S,) of the old and of the new waveform over a seam.

    "equal_gain" adds up to 1 and starts at the old waveform alone; "reference" is the two halves of
    a Hamming window, which add up to 1.08 and so raise every seam by 0.67 dB.
    """
    phase = np.pi * np.arange(samples) / max(1, samples)
    if crossfade == "reference":
        new, old = 0.54 - 0.46 * np.cos(phase), 0.54 + 0.46 * np.cos(phase)
    else:
        new = 0.5 - 0.5 * np.cos(phase)
        old = 1.0 - new
    return old.astype(np.float32), new.astype(np.float32)


class WaveformAssembler:
    """Vocodes mel chunks of one stream; keeps only what the next seam needs."""

    def __init__(self, vocoder: Vocoder, config: StreamingConfig) -> None:
        self._vocoder = vocoder
        self._config = config
        self._hop = vocoder.config.hop_size
        self.reset()

    def reset(self) -> None:
        """Forgets what was held back."""
        self._mel: Tensor | None = None  # played context, then the held frames
        self._tail = np.zeros(0, dtype=np.float32)

    @property
    def held_frames(self) -> int:
        """Mel frames whose sound is not out yet."""
        return len(self._tail) // self._hop

    def push(self, mel: Tensor, is_final: bool) -> np.ndarray:
        """mel: (T, mel_bins) log-mel. Returns: (S,) float32, all that is left if `is_final`."""
        joined = self.join(mel)
        return self.take(mel, joined, vocode(self._vocoder, joined[None])[0], is_final)

    def join(self, mel: Tensor) -> Tensor:
        """What has to be vocoded for these frames: (context + held + T, mel_bins)."""
        return mel if self._mel is None else torch.cat([self._mel, mel])

    def take(self, mel: Tensor, joined: Tensor, waveform: np.ndarray, is_final: bool) -> np.ndarray:
        """waveform: of `joined`. Returns: see `push`."""
        pending = self.held_frames + len(mel)
        held = 0 if is_final else self._frames_to_hold(pending)
        cut = (pending - held) * self._hop
        waveform = waveform[-pending * self._hop :]
        if not is_final or self._config.fade_final_seam:
            self._fade(waveform[:cut])
        self._mel = joined[max(0, len(joined) - held - self._context_frames) :]
        self._tail = waveform[cut:]
        if is_final:
            self.reset()
        return waveform[:cut]

    @property
    def _context_frames(self) -> int:
        return self._config.context_frames if self._config.overlap == "fixed" else 0

    def _frames_to_hold(self, pending: int) -> int:
        if self._config.overlap == "fixed":
            return min(self._config.held_frames, pending // 2)
        if 0 < 2 * self.held_frames < pending:
            return pending - 2 * self.held_frames
        return pending // 2

    def _fade(self, waveform: np.ndarray) -> None:
        """Blends the held tail into the start of `waveform`, in place."""
        samples = min(len(self._tail), len(waveform))
        old, new = fade_weights(samples, self._config.crossfade)
        waveform[:samples] *= new
        waveform[:samples] += old * self._tail[:samples]


@torch.inference_mode()
def vocode(vocoder: Vocoder, mel: Tensor) -> np.ndarray:
    """(B, T, mel_bins) log-mel -> (B, S) float32."""
    weight = vocoder.conv_pre.weight
    batch = mel.transpose(1, 2).to(weight.device, weight.dtype)
    return vocoder(batch).float().cpu().numpy().copy()
