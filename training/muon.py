"""Muon: momentum whose update is orthogonalised (Jordan et al., 2024).

`torch.optim.Muon` does the same in bfloat16 one matrix at a time, which a CPU without bfloat16
units runs some forty times slower than float32. Here the precision follows the parameters and
matrices of one shape are orthogonalised together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest slope at zero that still stays near one


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Pushes all singular values towards one. matrices: (N, R, C) with R <= C."""
    a, b, c = _QUINTIC
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """For 2-D weights of hidden layers; everything else belongs to AdamW."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        iterations: int = 5,
    ) -> None:
        super().__init__(
            parameters,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "iterations": iterations,
            },
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update; parameters without a gradient stay."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    update = self._nesterov(weight, group["momentum"])
                    wide = update if update.shape[0] <= update.shape[1] else update.T
                    by_shape[tuple(wide.shape)].append((weight, wide))
            for members in by_shape.values():
                stacked = torch.stack([update for _, update in members])
                for (weight, _), update in zip(members, self._whiten(stacked, group), strict=True):
                    self._apply(weight, update, group)

    def _nesterov(self, weight: nn.Parameter, momentum: float) -> Tensor:
        buffer = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
        buffer.lerp_(weight.grad, 1.0 - momentum)
        return weight.grad.lerp(buffer, momentum)

    @staticmethod
    def _whiten(updates: Tensor, group: dict) -> Tensor:
        native = updates.is_cuda or torch.cpu._is_avx512_bf16_supported()
        precision = torch.bfloat16 if native else torch.float32
        return orthogonalise(updates.to(precision), group["iterations"]).to(updates.dtype)

    @staticmethod
    def _apply(weight: nn.Parameter, update: Tensor, group: dict) -> None:
        rows, columns = weight.shape
        turned = update if update.shape == weight.shape else update.T
        weight.mul_(1.0 - group["lr"] * group["weight_decay"])
        weight.add_(turned, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
