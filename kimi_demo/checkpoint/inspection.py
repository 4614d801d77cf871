"""What a checkpoint's files hold, told from configurations and the heads of files: no value is
read, nothing is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from kimi_demo.checkpoint.layout import Layout, has_safetensors
from kimi_demo.checkpoint.loading import (
    POSITIONS,
    acoustic_encoder_tensors,
    learned_tensors,
    speech_tokenizer_tensors,
)
from kimi_demo.checkpoint.parts import EmptyParts
from kimi_demo.model.detokenizer.loading import (
    VOCODER_PREFIX,
    flow_tensors,
    require_vocoder_layout,
)
from kimi_demo.model.tensors import StoredTensor, require_same_layout, stored_in


@dataclass(frozen=True)
class Inspected:
    """One part of the model. parameters: learned values. tensors: as its files have them, None
    while they are a pickle that is still to be converted."""

    name: str
    parameters: int
    tensors: int | None


def inspect(layout: Layout) -> Iterator[Inspected]:
    """Every part in turn. Raises: CheckpointError naming file and tensor if a part does not fit."""
    parts = EmptyParts.of(layout)
    yield _fitting(
        "language model", parts.language_model, learned_tensors(layout.root), layout.root
    )
    tokenizer, folder = parts.speech_tokenizer, layout.speech_tokenizer
    stored = speech_tokenizer_tensors(folder, tokenizer)
    yield _fitting("speech tokenizer", tokenizer, stored, folder)
    stored = acoustic_encoder_tensors(layout.acoustic_encoder)
    yield _fitting("acoustic encoder", parts.acoustic_encoder, stored, layout.acoustic_encoder)
    stored = flow_tensors(layout.flow) if has_safetensors(layout.flow) else None
    yield _fitting("flow matching", parts.flow, stored, layout.flow)
    stored = stored_in(layout.vocoder, VOCODER_PREFIX) if has_safetensors(layout.vocoder) else None
    if stored is not None:
        require_vocoder_layout(stored, layout.vocoder)
    num_tensors = None if stored is None else len(stored)
    yield Inspected("vocoder", num_parameters(parts.vocoder), num_tensors)


def num_parameters(module: nn.Module) -> int:
    """Learned values."""
    return sum(parameter.numel() for parameter in module.parameters())


def _fitting(
    name: str, module: nn.Module, stored: Mapping[str, StoredTensor] | None, folder: Path
) -> Inspected:
    if stored is None:
        return Inspected(name, num_parameters(module), None)
    expected = module.state_dict()
    if POSITIONS not in stored:  # a formula gives them
        expected.pop(POSITIONS, None)
    require_same_layout(expected, stored, folder)
    return Inspected(name, num_parameters(module), len(stored))
