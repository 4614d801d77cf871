"""Draws the next id of one stream; built twice, once for each.

Axes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kimi_demo.messages import StreamSampling

_GREEDY_BELOW = 1e-6


class Sampler:
    """Repetition penalty, temperature and top-k, with a random generator of its own."""

    def __init__(self, sampling: StreamSampling, generator: torch.Generator | None = None) -> None:
        self.sampling = sampling
        self._generator = generator

    def __call__(self, logits: Tensor, recent: Sequence[int]) -> int:
        """logits: (V,); recent: ids of this stream so far. Returns the next id."""
        scores = self.penalized(logits, recent)
        if self.sampling.temperature <= _GREEDY_BELOW:
            return int(scores.argmax())
        weights = self._weights(scores).cpu()
        return int(torch.multinomial(weights, 1, generator=self._generator))

    def penalized(self, logits: Tensor, recent: Sequence[int]) -> Tensor:
        """Logits with the ids of the latest window made less likely, each once.

        The penalty begins only when more ids than the window exist (as in the reference).
        """
        penalty, window = self.sampling.repetition_penalty, self.sampling.repetition_window_tokens
        if penalty <= 1.0 or len(recent) <= window:
            return logits.float()
        seen = torch.tensor(sorted(set(recent[-window:])), device=logits.device)
        scores = logits.float().clone()
        picked = scores[seen]
        scores[seen] = torch.where(picked < 0, picked * penalty, picked / penalty)
        return scores

    def distribution(self, logits: Tensor, recent: Sequence[int]) -> Tensor:
        """(V,) probabilities from which the next id is drawn; one-hot when greedy."""
        scores = self.penalized(logits, recent)
        if self.sampling.temperature <= _GREEDY_BELOW:
            return torch.nn.functional.one_hot(scores.argmax(), len(scores)).float()
        weights = self._weights(scores)
        return weights / weights.sum()

    def _weights(self, scores: Tensor) -> Tensor:
        """(V,) un-normalised weights; zero outside the top k (k = 0 keeps all)."""
        weights = (scores.log_softmax(-1) / self.sampling.temperature).softmax(-1)
        count = min(self.sampling.top_k, len(weights))
        if not count:
            return weights
        best, ids = weights.topk(count)
        return torch.zeros_like(weights).scatter_(0, ids, best)
