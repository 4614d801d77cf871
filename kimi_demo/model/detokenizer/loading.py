"""Reads a detokenizer's folders: configuration and weights as published, in safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.config import FlowConfig, StreamingConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig

WEIGHTS_FILE = "model.safetensors"
FLOW_PREFIX = "speech_model."
VOCODER_PREFIX = "generator."
_UNUSED = ("resampler.kernel",)  # shipped with the release, read by nothing


def load_flow(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> FlowTransformer:
    """The flow-matching transformer of `directory` (config.yaml, model.safetensors).

    Raises: CheckpointError if a file is missing or does not fit its configuration.
    """
    with torch.device("meta"):
        flow = FlowTransformer(FlowConfig.from_yaml(Path(directory) / "config.yaml"))
    tensors = read_tensors(Path(directory) / WEIGHTS_FILE, FLOW_PREFIX)
    for name in _UNUSED:
        tensors.pop(name, None)
    require_same_layout(flow.state_dict(), tensors)
    converted = {name: tensor.to(device, dtype) for name, tensor in tensors.items()}
    flow.load_state_dict(converted, assign=True)
    return flow.eval().requires_grad_(False)


def load_vocoder(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Vocoder:
    """The vocoder of `directory` (config.json, model.safetensors), its weight norm folded.

    Raises: CheckpointError if a file is missing or does not fit its configuration.
    """
    vocoder = Vocoder(VocoderConfig.from_json(Path(directory) / "config.json"))
    vocoder.load_published(read_tensors(Path(directory) / WEIGHTS_FILE, VOCODER_PREFIX))
    return vocoder.to(device, dtype).eval().requires_grad_(False)


def load_detokenizer(
    flow_directory: Path,
    vocoder_directory: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> StreamingDetokenizer:
    """Both parts, with the streaming settings of the flow's config.yaml."""
    return StreamingDetokenizer(
        load_flow(flow_directory, device, dtype),
        load_vocoder(vocoder_directory, device, dtype),
        StreamingConfig.from_yaml(Path(flow_directory) / "config.yaml"),
    )


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, `prefix` taken off where a name has it."""
    try:
        tensors = load_file(path)
    except Exception as exc:  # the safetensors library raises its own kinds, and OSError
        raise CheckpointError(f"cannot read the weights {path}: {exc}") from exc
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def require_same_layout(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError naming every missing, surplus or misshapen tensor."""
    missing, surplus = expected.keys() - given.keys(), given.keys() - expected.keys()
    misshapen = {
        name for name in expected.keys() & given.keys() if expected[name].shape != given[name].shape
    }
    problems = {"missing": missing, "surplus": surplus, "misshapen": misshapen}
    found = [f"{kind}: {', '.join(sorted(names))}" for kind, names in problems.items() if names]
    if found:
        raise CheckpointError("weights do not fit the configuration; " + "; ".join(found))
