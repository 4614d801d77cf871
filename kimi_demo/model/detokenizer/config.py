"""Settings of the detokenizer, read from the released `config.yaml`.

Frames are mel frames (50 per second in the release), tokens are semantic tokens (12.5 per second).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from kimi_demo.errors import CheckpointError


@dataclass(frozen=True)
class FlowConfig:
    """Shape of the flow-matching transformer and scale of its mel; defaults are the release."""

    mel_bins: int = 80
    vocabulary_size: int = 16384  # the embedding has one row more, for guidance, never used
    hidden_size: int = 2304
    depth: int = 16
    num_heads: int = 18
    mlp_ratio: float = 4.0
    rope_base: float = 10000.0
    rope_interpolation: float = 1.0
    max_positions: int = 4096  # positions the model has been trained on
    normalize_mel: bool = True
    mel_mean: float = -4.479605  # of log-mel, in natural logarithms
    mel_std: float = 3.4584913

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.num_heads):
            raise CheckpointError(
                f"flow matching: hidden size {self.hidden_size} does not split into "
                f"{self.num_heads} heads of even width"
            )

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def mlp_size(self) -> int:
        return int(self.hidden_size * self.mlp_ratio)

    @classmethod
    def from_yaml(cls, path: Path) -> FlowConfig:
        """Raises CheckpointError if the file asks for a variant that was never released."""
        published = read_yaml(path)
        try:
            dit = published["model"]["dit"]
            _refuse_unknown_variants(dit)
            rope = dit.get("rope_params", {})
            return cls(
                mel_bins=dit["input_size"],
                vocabulary_size=dit["semantic_vocab_size"],
                hidden_size=dit["hidden_size"],
                depth=dit["depth"],
                num_heads=dit["num_heads"],
                mlp_ratio=float(dit["mlp_ratio"]),
                rope_base=float(rope.get("rope_base", cls.rope_base)),
                rope_interpolation=float(rope.get("rope_interpolation_factor", 1.0)),
                max_positions=int(rope.get("max_position_embeddings", cls.max_positions)),
                normalize_mel=bool(published["normalize_mel"]),
                mel_mean=float(published["mel_mean"]),
                mel_std=float(published["mel_std"]),
            )
        except (KeyError, TypeError) as exc:
            raise CheckpointError(f"{path} is not a detokenizer configuration: {exc!r}") from exc

    def to_yaml(self) -> dict[str, Any]:
        """The published form of these settings: `from_yaml` reads it back."""
        return {
            "normalize_mel": self.normalize_mel,
            "mel_mean": self.mel_mean,
            "mel_std": self.mel_std,
            "model": {
                "dit": {
                    "input_size": self.mel_bins,
                    "semantic_vocab_size": self.vocabulary_size,
                    "hidden_size": self.hidden_size,
                    "depth": self.depth,
                    "num_heads": self.num_heads,
                    "mlp_ratio": self.mlp_ratio,
                    "ffn_type": "vanilla_mlp",
                    "use_rope": True,
                    "rope_params": {
                        "max_position_embeddings": self.max_positions,
                        "rope_base": self.rope_base,
                        "rope_interpolation_factor": self.rope_interpolation,
                    },
                    "position_embedding_type": "skip",
                    "max_seq_len": self.max_positions,
                }
            },
        }


@dataclass(frozen=True)
class StreamingConfig:
    """How a growing token sequence is cut into chunks, solved and joined.

    The first group holds constants of the reference implementation; the release keeps them in code,
    a checkpoint may override them in a `streaming` section of its `config.yaml`. The second group
    names the points where the reference is at fault and this implementation is not by default;
    `with_reference_behaviour` restores the faults, for comparison.
    """

    chunk_tokens: int = 30  # new tokens per chunk
    first_chunk_tokens: int = 30  # fewer: sound starts earlier
    look_ahead_tokens: int = 12  # tail of a chunk, generated again with the next one
    frames_per_token: int = 4  # 50 Hz of mel over 12.5 Hz of tokens
    ode_grid_points: int = 30  # one more than there are Euler updates
    max_cache_frames: int = 900  # clean frames that a chunk can look back on
    overlap: Literal["half", "fixed"] = "half"  # how much sound is held back for the next seam
    held_frames: int = 8  # "fixed" only: frames held back
    context_frames: int = 16  # "fixed" only: played frames that the vocoder hears again

    crossfade: Literal["equal_gain", "reference"] = "equal_gain"  # reference: weights add to 1.08
    fade_final_seam: bool = True  # reference: the last seam is a plain cut
    position_limit: Literal["rebase", "restart"] = "rebase"  # reference: forgets all it has said

    def __post_init__(self) -> None:
        if min(self.chunk_tokens, self.first_chunk_tokens) <= self.look_ahead_tokens:
            raise CheckpointError("detokenizer: every chunk must be longer than the look-ahead")
        if self.look_ahead_tokens < 0 or self.frames_per_token < 1:
            raise CheckpointError("detokenizer: negative look-ahead or no frame per token")
        if self.ode_grid_points < 2:
            raise CheckpointError("detokenizer: ode_grid_points must be at least 2")
        if self.overlap not in ("half", "fixed"):
            raise CheckpointError(f"detokenizer: unknown overlap {self.overlap!r}")
        if self.crossfade not in ("equal_gain", "reference"):
            raise CheckpointError(f"detokenizer: unknown crossfade {self.crossfade!r}")
        if self.position_limit not in ("rebase", "restart"):
            raise CheckpointError(f"detokenizer: unknown position_limit {self.position_limit!r}")

    @property
    def max_chunk_frames(self) -> int:
        """Frames of the longest chunk: new tokens and the look-ahead of the chunk before."""
        longest = max(self.chunk_tokens, self.first_chunk_tokens) + self.look_ahead_tokens
        return longest * self.frames_per_token

    @classmethod
    def from_yaml(cls, path: Path) -> StreamingConfig:
        """Reads the optional `streaming` section; without it these are the release's constants."""
        section = read_yaml(path).get("streaming") or {}
        unknown = set(section) - {field.name for field in fields(cls)}
        if unknown:
            raise CheckpointError(f"{path}: unknown streaming settings {sorted(unknown)}")
        return cls(**section)

    def with_reference_behaviour(self) -> StreamingConfig:
        """The same sizes with the reference's faults at seams and at the position limit."""
        return replace(self, crossfade="reference", fade_final_seam=False, position_limit="restart")


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Raises CheckpointError if the file is missing or not a YAML mapping."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as exc:
        raise CheckpointError(f"cannot read the detokenizer configuration {path}: {exc}") from exc
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a detokenizer configuration")
    return content


def _refuse_unknown_variants(dit: Mapping[str, Any]) -> None:
    supported = {"ffn_type": "vanilla_mlp", "use_rope": True, "position_embedding_type": "skip"}
    for name, value in supported.items():
        if dit.get(name, value) != value:
            raise CheckpointError(f"flow matching: {name}={dit[name]!r} is not supported")
