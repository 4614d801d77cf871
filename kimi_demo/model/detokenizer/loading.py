"""Reads a detokenizer's folders: configuration and weights as published, in safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from kimi_demo.model.detokenizer.config import FlowConfig, StreamingConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.detokenizer.vocoder import FILTER_SUFFIXES, Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.tensors import (
    StoredTensor,
    TensorSource,
    empty_modules,
    fill,
    require_same_layout,
    stored_in,
)

FLOW_PREFIX = "speech_model."
VOCODER_PREFIX = "generator."
_UNUSED = ("resampler.kernel",)  # shipped with the release, read by nothing


def empty_flow(directory: Path) -> FlowTransformer:
    """The flow-matching transformer of config.yaml on the meta device."""
    with empty_modules():
        return FlowTransformer(FlowConfig.from_yaml(Path(directory) / "config.yaml"))


def load_flow(
    directory: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    tensors: TensorSource = stored_in,
) -> FlowTransformer:
    """The flow-matching transformer of `directory` (config.yaml, weights).

    Raises: CheckpointError if a file is missing or does not fit its configuration.
    """
    flow, directory = empty_flow(directory), Path(directory)
    fill(flow, flow_tensors(directory, tensors), directory, device, dtype)
    return flow.eval().requires_grad_(False)


def flow_tensors(directory: Path, tensors: TensorSource = stored_in) -> dict[str, StoredTensor]:
    """Those that the transformer has, by their names in it."""
    stored = tensors(directory, FLOW_PREFIX)
    return {name: tensor for name, tensor in stored.items() if name not in _UNUSED}


def load_vocoder(
    directory: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    tensors: TensorSource = stored_in,
) -> Vocoder:
    """The vocoder of `directory` (config.json, weights), its weight norm folded.

    Raises: CheckpointError if a file is missing or does not fit its configuration.
    """
    directory = Path(directory)
    stored = tensors(directory, VOCODER_PREFIX)
    require_vocoder_layout(stored, directory)
    vocoder = Vocoder(VocoderConfig.from_json(directory / "config.json"))
    vocoder.load_published({name: tensor.read() for name, tensor in stored.items()})
    return vocoder.to(device, dtype).eval().requires_grad_(False)


def require_vocoder_layout(stored: Mapping[str, StoredTensor], directory: Path) -> None:
    """Compares with config.json; weight norm may be in pairs or folded, the fixed filters left out.

    Raises: CheckpointError naming file and tensor of the first misfit.
    """
    pairs = any(name.endswith(".weight_g") for name in stored)
    with empty_modules():
        vocoder = Vocoder(VocoderConfig.from_json(directory / "config.json"), weight_norm=pairs)
    expected = vocoder.published_tensors()
    if not any(name.endswith(FILTER_SUFFIXES) for name in stored):
        expected = {n: t for n, t in expected.items() if not n.endswith(FILTER_SUFFIXES)}
    require_same_layout(expected, stored, directory)


def load_detokenizer(
    flow_directory: Path,
    vocoder_directory: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    tensors: TensorSource = stored_in,
) -> StreamingDetokenizer:
    """Both parts, with the streaming settings of the flow's config.yaml."""
    return StreamingDetokenizer(
        load_flow(flow_directory, device, dtype, tensors),
        load_vocoder(vocoder_directory, device, dtype, tensors),
        StreamingConfig.from_yaml(Path(flow_directory) / "config.yaml"),
    )
