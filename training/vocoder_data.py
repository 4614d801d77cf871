"""Training material of the vocoder: pieces of log-mel and waveform, cut at random places.

Axis letters: B batch, M mel bands, T frames, N samples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.mel import log_mel

logger = logging.getLogger(__name__)

_MARGIN_FRAMES = 2
"""Cut off at each end of a natural piece: these frames were computed from reflected audio."""
_INT16_SCALE = 32768.0

Batch = tuple[Tensor, Tensor]
"""Log-mel (B, M, T) and its waveform (B, T * hop_size)."""


@dataclass(frozen=True)
class SpeechCache:
    """Utterances at the vocoder's rate, end to end in one memory-mapped array.

    samples: (N,) int16. offsets: (utterances + 1,), where each begins, and the end.
    """

    samples: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def utterance(self, index: int) -> Tensor:
        """(N,) float32 in [-1, 1]."""
        return _to_float(self.samples[self.offsets[index] : self.offsets[index + 1]])

    def without_last(self, utterances: int) -> SpeechCache:
        """What is left for training when the last ones are held out."""
        kept = self.offsets[: len(self.offsets) - utterances]
        return SpeechCache(self.samples[: kept[-1]], kept)

    @classmethod
    def load(cls, folder: Path) -> SpeechCache:
        samples = np.load(folder / "samples.npy", mmap_mode="r")
        return cls(samples, np.load(folder / "offsets.npy"))


def write_speech_cache(waveforms: Iterable[np.ndarray], folder: Path) -> SpeechCache:
    """Writes (N,) int16 utterances at 24 kHz into a cache folder.

    One after the other through a raw file, because hours of speech need not fit in memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw, offsets = folder / "samples.raw", [0]
    with raw.open("wb") as file:
        for waveform in waveforms:
            waveform.astype("<i2").tofile(file)
            offsets.append(offsets[-1] + len(waveform))
    np.save(folder / "samples.npy", np.memmap(raw, "<i2", mode="r"))
    np.save(folder / "offsets.npy", np.array(offsets))
    raw.unlink()
    logger.info("cached %d utterances in %s", len(offsets) - 1, folder)
    return SpeechCache.load(folder)


class NaturalPieces:
    """Pieces of real speech with their own mel. Cuts ignore where utterances begin and end."""

    def __init__(self, cache: SpeechCache, config: VocoderConfig) -> None:
        self._samples = cache.samples
        self._config = config

    def draw(self, batch: int, frames: int) -> Batch:
        hop, margin = self._config.hop_size, _MARGIN_FRAMES
        length = (frames + 2 * margin) * hop
        starts = torch.randint(len(self._samples) - length, (batch,)).tolist()
        waveform = torch.stack([_to_float(self._samples[s : s + length]) for s in starts])
        mel = log_mel(waveform, self._config)
        return mel[..., margin:-margin], waveform[:, margin * hop : -margin * hop]


class GeneratedPieces:
    """Pieces of mels that a model generated, with the true waveform of the same speech.

    Each ``*.npz`` file of the folder holds one utterance: ``mel`` (M, T) float16, natural
    logarithm, not normalised; ``wav`` (T * hop_size,) int16. Surplus samples or frames are ignored.
    """

    def __init__(self, folder: Path, config: VocoderConfig, min_frames: int) -> None:
        self._hop = config.hop_size
        pairs = (_read_pair(path, self._hop) for path in sorted(folder.glob("*.npz")))
        self._pairs = [pair for pair in pairs if pair[0].shape[1] >= min_frames]
        if not self._pairs:
            raise FileNotFoundError(f"{folder} holds no *.npz file of {min_frames} frames or more")
        # Long utterances are drawn more often, so that every frame is equally likely.
        lengths = np.array([mel.shape[1] for mel, _ in self._pairs], dtype=np.float32)
        self._weights = torch.from_numpy(lengths)

    def draw(self, batch: int, frames: int) -> Batch:
        chosen = torch.multinomial(self._weights, batch, replacement=True).tolist()
        mels, waveforms = zip(*(self._cut(self._pairs[i], frames) for i in chosen), strict=True)
        return torch.stack(mels), torch.stack(waveforms)

    def _cut(self, pair: tuple[np.ndarray, np.ndarray], frames: int) -> Batch:
        mel, samples = pair
        start = int(torch.randint(mel.shape[1] - frames + 1, ()))
        stop = start + frames
        piece = _to_float(samples[start * self._hop : stop * self._hop])
        return torch.from_numpy(mel[:, start:stop].astype(np.float32)), piece


class MixedPieces:
    """Batches of which ``natural_share`` comes from real speech and the rest is generated."""

    def __init__(
        self, natural: NaturalPieces, generated: GeneratedPieces, natural_share: float
    ) -> None:
        self._natural, self._generated, self._share = natural, generated, natural_share

    def draw(self, batch: int, frames: int) -> Batch:
        real = round(batch * self._share)
        parts = [(self._natural, real), (self._generated, batch - real)]
        drawn = [source.draw(count, frames) for source, count in parts if count]
        mels, waveforms = zip(*drawn, strict=True)
        return torch.cat(mels), torch.cat(waveforms)


def _read_pair(path: Path, hop: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        mel, samples = arrays["mel"], arrays["wav"]
    frames = min(mel.shape[1], len(samples) // hop)
    return mel[:, :frames], samples[: frames * hop]


def _to_float(samples: np.ndarray) -> Tensor:
    return torch.from_numpy(samples.astype(np.float32) / _INT16_SCALE)
