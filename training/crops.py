"""Batches for flow matching: crops of tokens and mel, and blocks that play the part of chunks.

B batch, T time in mel frames, N time in tokens (four frames each), M mel bands.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.cache import MEL24_PER_POSITION, Cache, Entry


class CropSampler:
    """Draws batches of equally long crops; every token of the cache is equally likely."""

    def __init__(
        self, cache: Cache, entries: Sequence[Entry], crop: int, tokens_per_batch: int
    ) -> None:
        self._cache, self._crop, self._tokens_per_batch = cache, crop, tokens_per_batch
        self._entries = sorted(entries, key=lambda e: e.length)
        self._lengths = [entry.length for entry in self._entries]
        self._ends = torch.tensor(self._lengths).cumsum(0)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Returns: tokens (B, N) int64 and log-mel (B, T, M) float32, N at most the crop's length.

        One utterance, cut to the crop if need be, sets the length; its neighbours in the batch are
        cut out of utterances at least as long, so that nothing is padded.
        """
        length = min(self._crop, self._lengths[self._draw_index(0)])
        shortest = bisect_left(self._lengths, length)
        rows = max(1, self._tokens_per_batch // length)
        crops = [self._cut(self._entries[self._draw_index(shortest)], length) for _ in range(rows)]
        tokens, mel = zip(*crops, strict=True)
        return torch.stack(tokens), torch.stack(mel)

    def _draw_index(self, shortest: int) -> int:
        """An utterance from place `shortest` on, in proportion to its length."""
        below = int(self._ends[shortest - 1]) if shortest else 0
        drawn = torch.randint(below, int(self._ends[-1]), (1,))
        return int(torch.searchsorted(self._ends, drawn, right=True))

    def _cut(self, entry: Entry, length: int) -> tuple[Tensor, Tensor]:
        first = entry.start + int(torch.randint(entry.length - length + 1, ()))
        return read_crop(self._cache, first, length)


def read_crop(cache: Cache, first: int, length: int) -> tuple[Tensor, Tensor]:
    """Tokens (N,) int64 and log-mel (T, M) float32 of `length` positions from `first` on."""
    rate = MEL24_PER_POSITION
    tokens = cache.array("codes-0")[first : first + length].astype(np.int64)
    mel = cache.array("mel24")[rate * first : rate * (first + length)].astype(np.float32)
    return torch.from_numpy(tokens), torch.from_numpy(mel)


def mel_statistics(
    cache: Cache, entries: Sequence[Entry], utterances: int = 1000
) -> tuple[float, float]:
    """Mean and standard deviation of the log-mel, over about so many utterances."""
    chosen = entries[:: max(1, len(entries) // utterances)]
    mel = cache.array("mel24")
    values = np.concatenate([mel[e.rows(MEL24_PER_POSITION)] for e in chosen]).astype(np.float64)
    return float(values.mean()), float(values.std())


def draw_blocks(tokens: int, shortest: int, longest: int) -> Tensor:
    """(N,) index of the block that each token falls into; blocks have random lengths."""
    lengths = torch.randint(shortest, longest + 1, (tokens // shortest + 1,))
    return torch.repeat_interleave(torch.arange(len(lengths)), lengths)[:tokens]


def block_mask(clean: Tensor, noisy: Tensor, copies: int) -> Tensor:
    """(K, K) attention mask of a row `[clean | noisy * copies]`, given each frame's block.

    A noisy block sees itself and the clean blocks before it, a clean one itself and those before.
    """
    block = torch.cat([clean, noisy.repeat(copies)])
    noisy_copy = torch.arange(copies).repeat_interleave(len(noisy))
    copy = torch.cat([torch.full_like(clean, -1), noisy_copy])
    itself = (copy[:, None] == copy) & (block[:, None] == block)
    return itself | ((copy < 0) & (block < block[:, None]))
