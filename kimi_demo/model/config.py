"""The language model's configuration, read from the published config.json.

Published `kimia_*` names end here; the rest of the code uses the names below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kimi_demo.errors import CheckpointError

_NAMES = {
    "vocabulary_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "num_audio_layers": "kimia_mimo_layers",
    "branch_layer": "kimia_mimo_transformer_from_layer_index",
    "audio_delay_tokens": "kimia_mimo_audiodelaytokens",
    "audio_token_offset": "kimia_token_offset",
    "adaptor_input_size": "kimia_adaptor_input_dim",
    "media_begin": "kimia_media_begin",
    "media_end": "kimia_media_end",
    "pad": "pad_token_id",
    "norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "max_positions": "max_position_embeddings",
    "activation": "hidden_act",
}


@dataclass(frozen=True)
class LanguageModelConfig:
    """Sizes of the shared trunk, its two branches and the adaptor.

    branch_layer: the audio branch starts from the output of the trunk layer with this index.
    audio_delay_tokens: blank steps of the audio stream before its first code. The weights were
        trained with 6; public ports that say 5 count from the second step.
    """

    vocabulary_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    num_audio_layers: int
    branch_layer: int
    audio_token_offset: int
    adaptor_input_size: int
    media_begin: int
    media_end: int
    pad: int
    audio_delay_tokens: int = 6
    norm_eps: float = 1e-6
    rope_theta: float = 1e6
    max_positions: int = 8192
    activation: str = "silu"
    drop_text_id_zero: bool = False  # fault of the reference, see `with_reference_behaviour`

    def __post_init__(self) -> None:
        if not 0 <= self.branch_layer < self.num_layers:
            raise CheckpointError(
                f"config.json: the audio branch leaves layer {self.branch_layer}, but there are "
                f"only {self.num_layers} layers"
            )
        if self.activation != "silu":
            raise CheckpointError(f"config.json: unknown hidden_act {self.activation!r}")

    @classmethod
    def from_json(cls, source: Path | Mapping[str, object]) -> LanguageModelConfig:
        """Reads the published config.json, or its content.

        Raises: CheckpointError if a size is missing.
        """
        values = source if isinstance(source, Mapping) else json.loads(source.read_text("utf-8"))
        known = {ours: values[theirs] for ours, theirs in _NAMES.items() if theirs in values}
        try:
            return cls(**known)
        except TypeError as exc:
            raise CheckpointError(f"config.json is incomplete: {exc}") from exc

    def to_json(self) -> dict[str, object]:
        """The same values under their published names."""
        return {theirs: getattr(self, ours) for ours, theirs in _NAMES.items()}

    def with_reference_behaviour(self) -> LanguageModelConfig:
        """The reference forgets to embed a decoded text id that is 0 ("!" in the release)."""
        return replace(self, drop_text_id_zero=True)

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def num_cached_layers(self) -> int:
        """Layers with keys and values: the trunk's, then the audio branch's."""
        return self.num_layers + self.num_audio_layers
