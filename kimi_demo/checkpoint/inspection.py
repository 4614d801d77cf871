"""What a checkpoint's files hold, told from configurations and the heads of files: no value is
read, nothing is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from kimi_demo.checkpoint.layout import CONFIG, Layout, has_safetensors
from kimi_demo.checkpoint.loading import (
    POSITIONS,
    acoustic_encoder_tensors,
    learned_tensors,
    speech_tokenizer_tensors,
)
from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.loading import (
    VOCODER_PREFIX,
    empty_flow,
    flow_tensors,
    require_vocoder_layout,
)
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
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
    config = LanguageModelConfig.from_json(layout.root / CONFIG)
    model = LanguageModel.empty(config, "meta")
    yield _fitting("language model", model, learned_tensors(layout.root), layout.root)
    tokenizer = SpeechTokenizer.build(layout.speech_tokenizer).encoder
    stored = speech_tokenizer_tensors(layout.speech_tokenizer, tokenizer)
    yield _fitting("speech tokenizer", tokenizer, stored, layout.speech_tokenizer)
    encoder = AcousticEncoder.build(layout.acoustic_encoder).encoder
    stored = acoustic_encoder_tensors(layout.acoustic_encoder)
    yield _fitting("acoustic encoder", encoder, stored, layout.acoustic_encoder)
    flow = empty_flow(layout.flow)
    stored = flow_tensors(layout.flow) if has_safetensors(layout.flow) else None
    yield _fitting("flow matching", flow, stored, layout.flow)
    yield _vocoder(layout.vocoder)


def _vocoder(folder: Path) -> Inspected:
    stored = stored_in(folder, VOCODER_PREFIX) if has_safetensors(folder) else None
    if stored is not None:
        require_vocoder_layout(stored, folder)
    tensors = None if stored is None else len(stored)
    return Inspected("vocoder", _count(_empty_vocoder(folder)), tensors)


def _empty_vocoder(folder: Path) -> Vocoder:
    with torch.device("meta"):
        return Vocoder(VocoderConfig.from_json(folder / CONFIG))


def _fitting(
    name: str, module: nn.Module, stored: Mapping[str, StoredTensor] | None, folder: Path
) -> Inspected:
    if stored is None:
        return Inspected(name, _count(module), None)
    expected = module.state_dict()
    if POSITIONS not in stored:  # a formula gives them
        expected.pop(POSITIONS, None)
    require_same_layout(expected, stored, folder)
    return Inspected(name, _count(module), len(stored))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
