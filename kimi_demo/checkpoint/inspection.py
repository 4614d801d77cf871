"""What a checkpoint's files hold, told from configurations and the heads of files: no value is
read, nothing is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def learned_values(parts: EmptyParts) -> dict[str, int]:
    modules = {
        "language model": parts.language_model,
        "speech tokenizer": parts.speech_tokenizer,
        "acoustic encoder": parts.acoustic_encoder,
        "flow matching": parts.flow,
        "vocoder": parts.published_vocoder(),
    }
    return {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}


def stored_tensors(layout: Layout) -> Iterator[tuple[str, int | None]]:
    """Name of each part and how many tensors of it its files hold, None while they are a pickle.

    Raises: CheckpointError naming file and tensor if a part does not fit.
    """
    parts = EmptyParts.of(layout)
    folder = layout.root
    yield "language model", _fitting(parts.language_model, learned_tensors(folder), folder)
    folder, encoder = layout.speech_tokenizer, parts.speech_tokenizer
    stored = speech_tokenizer_tensors(folder, encoder)
    yield "speech tokenizer", _fitting(encoder, stored, folder)
    folder = layout.acoustic_encoder
    stored = acoustic_encoder_tensors(folder)
    yield "acoustic encoder", _fitting(parts.acoustic_encoder, stored, folder)
    folder = layout.flow
    stored = flow_tensors(folder) if has_safetensors(folder) else None
    yield "flow matching", _fitting(parts.flow, stored, folder) if stored else None
    folder = layout.vocoder
    stored = stored_in(folder, VOCODER_PREFIX) if has_safetensors(folder) else None
    if stored:
        require_vocoder_layout(stored, folder)
    yield "vocoder", len(stored) if stored else None


def _fitting(module: nn.Module, stored: Mapping[str, StoredTensor], folder: Path) -> int:
    expected = module.state_dict()
    if POSITIONS not in stored:  # a formula gives them
        expected.pop(POSITIONS, None)
    require_same_layout(expected, stored, folder)
    return len(stored)
