"""The opponent of the vocoder: looks at periods and spectra of waveforms, small enough for a CPU.

Source: HiFi-GAN (arXiv 2010.05646), UnivNet (arXiv 2106.07889); least-squares losses and feature
matching as there.

Axes: B pieces, N samples, C channels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7, 11)
SPECTRA = ((1024, 240), (512, 120), (256, 60))  # size and hop
CHANNELS = 24
ADVERSARIAL_WEIGHT, MATCHING_WEIGHT = 0.5, 1.0
LEARNING_RATE = 4e-4


class PeriodView(nn.Module):
    """Samples that lie a period apart, side by side."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, CHANNELS, 2 * CHANNELS, 4 * CHANNELS)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)))
            for a, b in pairwise(widths)
        )
        self.judge = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, N) -> verdicts, and what each layer saw."""
        whole = waveform.shape[1] // self.period * self.period
        x = waveform[:, :whole].unflatten(1, (-1, self.period))[:, None]
        return _judge(self.layers, self.judge, x)


class SpectrumView(nn.Module):
    """Magnitudes of one resolution, softly compressed."""

    def __init__(self, size: int, hop: int) -> None:
        super().__init__()
        self.size, self.hop = size, hop
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        widths = (1, CHANNELS, CHANNELS, CHANNELS, CHANNELS)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (3, 9), (1, 1 if a == 1 else 2), padding=(1, 4)))
            for a, b in pairwise(widths)
        )
        self.judge = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, N) -> verdicts, and what each layer saw."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(), self.size, self.hop, window=self.window, return_complex=True
            )
            magnitudes = spectrum.abs().clamp_min(1e-5).pow(0.4)
        return _judge(self.layers, self.judge, magnitudes.transpose(1, 2)[:, None])


def _judge(layers: nn.ModuleList, judge: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    seen = []
    for layer in layers:
        x = F.leaky_relu(layer(x), 0.1)
        seen.append(x)
    return judge(x), seen


class Adversary:
    """All views, and the optimiser that teaches them."""

    def __init__(self, device: str = "cpu") -> None:
        views = [PeriodView(p) for p in PERIODS] + [SpectrumView(*s) for s in SPECTRA]
        self.views = nn.ModuleList(views).to(device)
        self._optimizer = torch.optim.AdamW(
            self.views.parameters(), LEARNING_RATE, betas=(0.8, 0.99)
        )

    def learn(self, true: Tensor, made: Tensor) -> Tensor:
        """One step of telling true from made waveforms (B, N); returns the loss."""
        made = made.detach()
        loss = sum(
            (view(true)[0].float() - 1).square().mean() + view(made)[0].float().square().mean()
            for view in self.views
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach() / len(self.views)

    def losses(self, true: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """What the vocoder should lower: being seen through, and looking different."""
        deceiving, matching = made.new_zeros(()), made.new_zeros(())
        self.views.requires_grad_(False)
        for view in self.views:
            with torch.no_grad():
                _, wanted = view(true)
            verdict, seen = view(made)
            deceiving = deceiving + (verdict.float() - 1).square().mean()
            pairs = zip(seen, wanted, strict=True)
            matching = matching + sum((a.float() - b.float()).abs().mean() for a, b in pairs)
        self.views.requires_grad_(True)
        return deceiving / len(self.views), matching / len(self.views)

    def state_dict(self) -> dict[str, Any]:
        return {"views": self.views.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.views.load_state_dict(state["views"])
        self._optimizer.load_state_dict(state["optimizer"])
