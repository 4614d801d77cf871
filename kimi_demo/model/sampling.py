"""Draws the next ids of several rows of one stream in one go, each row by its own rules.

The noise of a draw is a function of seed, step and stream alone, so that what a row draws depends
neither on its company nor on the device.
Axes: B rows, V vocabulary, K candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kimi_demo.messages import StreamSampling

_GREEDY_BELOW = 1e-6
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (-4658895280553007687, -7723592293110705685)
_SHIFTS = (30, 27, 31)
_UNIFORM_BITS = 32


@dataclass(frozen=True)
class Draw:
    """How one row draws. recent: ids of its stream so far. seed, step: name the noise."""

    sampling: StreamSampling
    recent: Sequence[int]
    seed: int
    step: int

    @property
    def greedy(self) -> bool:
        """Whether the likeliest id is taken."""
        return self.sampling.temperature <= _GREEDY_BELOW


def draw(logits: Tensor, draws: Sequence[Draw], first_id: int = 0, stream: int = 0) -> list[int]:
    """The next id of each row.

    logits: (B, V) of the ids from `first_id` on. stream: keeps the noise of two streams apart.
    """
    scores = penalized(logits, draws, first_id)
    if all(row.greedy for row in draws):
        return (scores.argmax(-1) + first_id).tolist()
    scores, ids = candidates(scores, draws)
    noise = gumbel_noise(draws, stream, scores.shape[1], scores.device)
    chosen = (scores + noise).argmax(-1, keepdim=True)
    return (ids.gather(-1, chosen)[:, 0] + first_id).tolist()


def penalized(logits: Tensor, draws: Sequence[Draw], first_id: int = 0) -> Tensor:
    """(B, V) in float32, with the ids of each row's latest window made less likely, each once.

    The penalty begins only when more ids than the window exist (as in the reference).
    """
    scores = logits.float()
    for row, wanted in enumerate(draws):
        penalty = wanted.sampling.repetition_penalty
        window = wanted.sampling.repetition_window_tokens
        if penalty <= 1.0 or len(wanted.recent) <= window:
            continue
        ids = (token - first_id for token in set(wanted.recent[-window:]))
        seen = [token for token in ids if 0 <= token < scores.shape[1]]
        picked = scores[row, seen]
        scores = scores.clone() if scores is logits else scores
        scores[row, seen] = torch.where(picked < 0, picked * penalty, picked / penalty)
    return scores


def candidates(scores: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
    """The K likeliest of each row: scores over temperature (B, K), -inf beyond the row's own top k
    (0 keeps all), and their places in V.
    """
    vocabulary = scores.shape[1]
    kept = [1 if row.greedy else row.sampling.top_k or vocabulary for row in draws]
    best, ids = scores.topk(min(max(kept), vocabulary), -1)
    temperatures = [1.0 if row.greedy else row.sampling.temperature for row in draws]
    best = best / torch.tensor(temperatures, device=best.device)[:, None]
    ranks = torch.arange(best.shape[1], device=best.device)
    beyond = ranks >= torch.tensor(kept, device=best.device)[:, None]
    return best.masked_fill(beyond, -torch.inf), ids


def gumbel_noise(draws: Sequence[Draw], stream: int, count: int, device: torch.device) -> Tensor:
    """(B, K) noise; the largest of scores plus noise falls on each candidate with its probability.

    Integers from a counter (splitmix64) instead of a generator with a state.
    """
    keys = [_signed((2 * d.seed + stream) * _GAMMA + (d.step << 20)) for d in draws]
    bits = torch.tensor(keys, device=device)[:, None] + torch.arange(1, count + 1, device=device)
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, 1), strict=True):
        bits = (bits ^ _shifted(bits, shift)) * multiplier
    uniform = (_shifted(bits, 64 - _UNIFORM_BITS).double() + 0.5) / 2**_UNIFORM_BITS
    return -(-uniform.log()).log().float()


def _shifted(bits: Tensor, count: int) -> Tensor:
    """To the right, zeros coming in; torch's own shift repeats the sign."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _signed(number: int) -> int:
    """The lowest 64 bits as torch reads them."""
    return (number + 2**63) % 2**64 - 2**63
