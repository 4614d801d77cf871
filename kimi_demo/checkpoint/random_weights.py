"""Random values in place of a checkpoint's files: what a model of some size costs can be measured
without its weights, through the same loaders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor

from kimi_demo.checkpoint.layout import Layout
from kimi_demo.checkpoint.loading import ENCODER_PREFIX
from kimi_demo.checkpoint.parts import EmptyParts
from kimi_demo.model.detokenizer.vocoder import FILTER_SUFFIXES
from kimi_demo.model.files import FILE
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.tensors import StoredTensor, TensorSource
from kimi_demo.model.vocabulary import published_special_tokens

_SMALL = 0.02  # of biases, and around one of the scales of norms


@dataclass(frozen=True)
class RandomTensor(StoredTensor):
    """Normal values, always the same for one name and seed on one kind of device.

    rows: those that are not zero; None: all. Its file is where a checkpoint would have it.
    """

    seed: int
    dtype: torch.dtype
    rows: slice | None = None

    def read(self, device: torch.device | str = "cpu") -> Tensor:
        mean, deviation = _moments(self.name, self.shape)
        place = f"{self.seed} {self.file.parent.name} {self.name}"
        generator = torch.Generator(device).manual_seed(crc32(place.encode()))
        values = torch.empty(self.shape, dtype=self.dtype, device=device)
        values.normal_(mean, deviation, generator=generator)
        if self.rows is None:
            return values
        values[: self.rows.start] = 0
        values[self.rows.stop :] = 0
        return values


def random_tensors(layout: Layout, seed: int = 0) -> TensorSource:
    """Random tensors for every part that the layout's configurations describe.

    The language model's are bfloat16 as in the release, all others float32; the vocoder's weight
    norm is in pairs as published.
    """
    parts = EmptyParts.of(layout)
    encoder = {f"{ENCODER_PREFIX}{n}": t for n, t in parts.acoustic_encoder.state_dict().items()}
    tokenizer = parts.speech_tokenizer.state_dict()
    vocoder = parts.published_vocoder().published_tensors().items()
    learned = {name: tensor for name, tensor in vocoder if not name.endswith(FILTER_SUFFIXES)}
    held = {
        layout.root: _language_model(parts.language_model, layout.root, seed),
        layout.acoustic_encoder: _named(encoder, layout.acoustic_encoder, seed),
        layout.speech_tokenizer: _named(tokenizer, layout.speech_tokenizer, seed),
        layout.flow: _named(parts.flow.state_dict(), layout.flow, seed),
        layout.vocoder: _named(learned, layout.vocoder, seed),
    }
    return lambda folder, prefix="": dict(held[folder])


def _language_model(model: LanguageModel, root: Path, seed: int) -> dict[str, StoredTensor]:
    """Each head favours the ids of its own stream, so that text is text, and speech speech that
    never ends: with the rows of all others zero, those never score highest."""
    config, empty = model.config, model.state_dict()
    named = _named(empty, root, seed, torch.bfloat16)
    text = slice(0, config.audio_token_offset - len(published_special_tokens()))
    speech = slice(config.audio_token_offset, config.vocabulary_size)
    for name, rows in (("lm_head.weight", text), ("mimo_output.weight", speech)):
        shape = tuple(empty[name].shape)
        named[name] = RandomTensor(root / FILE, name, shape, seed, torch.bfloat16, rows)
    return named


def _named(
    empty: Mapping[str, Tensor], folder: Path, seed: int, dtype: torch.dtype = torch.float32
) -> dict[str, StoredTensor]:
    return {
        name: RandomTensor(folder / FILE, name, tuple(tensor.shape), seed, dtype)
        for name, tensor in empty.items()
    }


def _moments(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and deviation with which activations keep their size: scales of norms lie around one, a
    matrix or kernel is divided by the root of what it sums up."""
    if len(shape) > 1:
        return 0.0, 1 / math.sqrt(math.prod(shape[1:]))
    return (1.0, _SMALL) if name.endswith("weight") else (0.0, _SMALL)
