"""Configuration of the vocoder, read from the published ``vocoder/config.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from math import prod
from pathlib import Path
from typing import Any

from kimi_demo.errors import CheckpointError


@dataclass(frozen=True)
class VocoderConfig:
    """Shape of a BigVGAN generator and of the mel spectrogram that it inverts.

    Field names are the published ones. Fields without a default must be present in a file; keys
    that are not fields (training options, mostly) are ignored. Source: BigVGAN, arXiv 2206.04658.
    """

    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    upsample_initial_channel: int
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]

    resblock: str = "1"
    """"1": each layer is a dilated and an undilated convolution; "2": the dilated one alone."""
    activation: str = "snakebeta"
    """"snakebeta", or "snake" (one parameter per channel for both frequency and magnitude)."""
    snake_logscale: bool = True
    """The activation's parameters are logarithms."""
    use_tanh_at_final: bool = True
    """Bound the output by tanh instead of by clamping."""
    use_bias_at_final: bool = True

    num_mels: int = 80
    sampling_rate: int = 24_000
    hop_size: int = 480
    n_fft: int = 1920
    win_size: int = 1920
    fmin: float = 0.0
    fmax: float | None = None
    """Upper edge of the highest mel band in Hz; None means half the sampling rate."""

    def __post_init__(self) -> None:
        """Raises: CheckpointError if the fields do not describe one generator."""
        problems = tuple(self._problems())
        if problems:
            raise CheckpointError("The vocoder configuration is unusable: " + "; ".join(problems))

    def _problems(self) -> list[str]:
        found = []
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            found.append("upsample_rates and upsample_kernel_sizes differ in length")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            found.append("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if prod(self.upsample_rates) != self.hop_size:
            found.append(f"upsample_rates {self.upsample_rates} multiply to another hop_size")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=False):
            # Otherwise a stage would not return exactly rate samples per input sample.
            if kernel < rate or (kernel - rate) % 2:
                found.append(f"upsample kernel {kernel} does not suit rate {rate}")
        if not self.channels(len(self.upsample_rates)):
            found.append("upsample_initial_channel cannot be halved once per upsample rate")
        if self.resblock not in ("1", "2"):
            found.append(f"resblock {self.resblock!r} is neither '1' nor '2'")
        if self.activation not in ("snake", "snakebeta"):
            found.append(f"activation {self.activation!r} is neither 'snake' nor 'snakebeta'")
        return found

    def channels(self, stages: int) -> int:
        """Width behind so many upsampling stages: each halves it, rounded down as published."""
        return self.upsample_initial_channel // 2**stages

    @classmethod
    def from_json(cls, source: Path | str | Mapping[str, Any]) -> VocoderConfig:
        """Reads a ``config.json`` file, or a dictionary that came from one.

        Raises: CheckpointError if the file cannot be read or a required key is missing.
        """
        values = source if isinstance(source, Mapping) else _read(Path(source))
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]
        if missing:
            raise CheckpointError(f"The vocoder configuration lacks {', '.join(missing)}.")
        return cls(**{f.name: _frozen(values[f.name]) for f in fields(cls) if f.name in values})

    def to_json(self) -> dict[str, Any]:
        """The dictionary that ``from_json`` reads back."""
        return {f.name: _thawed(getattr(self, f.name)) for f in fields(self)}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise CheckpointError(f"Cannot read the vocoder configuration {path}: {exc}") from exc


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    return [_thawed(v) for v in value] if isinstance(value, tuple) else value
