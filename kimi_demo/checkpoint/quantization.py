"""Weight-only quantisation of the language model's linear layers, through torchao.

int8: one scale for each row. int4: one scale and zero for each group of values in a row; both heads
and the last layers of both branches stay at int8, since errors there reach the ids at once.
Embedding, norms, biases and the adaptor keep the model's precision.

On CUDA int4 is packed (two values in a byte, bfloat16 only). torchao has no packed int4 for the
CPU: there each 4-bit value fills a byte, which shows what int4 does to the answers but saves no
more memory than int8.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kimi_demo.checkpoint.placement import Quantization
from kimi_demo.errors import CheckpointError
from kimi_demo.model.config import LanguageModelConfig

if TYPE_CHECKING:
    from torchao.core.config import AOBaseConfig

LAST_LAYERS = 2  # of each branch that int4 leaves at int8
_GROUPS = (128, 64, 32)  # values that share a scale at int4; the first that divides a row
_TILE_COLUMNS, _TILE_ROWS = 1024, 8  # the packed format of CUDA pads to whole tiles
_HEADS = ("lm_head", "mimo_output")
_PROJECTION = "_proj"  # how the names of all linear layers inside a decoder layer end
_SCALE_BYTES = 4  # int8: float32


def check_quantizable(quantization: Quantization, device: torch.device, dtype: torch.dtype) -> None:
    """Raises: CheckpointError if it cannot be done on such a device."""
    try:
        import torchao  # noqa: F401 - only whether it is there
    except ImportError as exc:
        raise CheckpointError(
            f"{quantization} needs torchao: python -m pip install torchao"
        ) from exc
    if quantization == "int4" and device.type == "cuda":
        _check_packed_int4(device, dtype)


def scheme(config: LanguageModelConfig, quantization: Quantization | None, module: str) -> str:
    """How the named linear layer is stored: "int8", "int4", or "" for unchanged."""
    if not quantization or not (module.endswith(_PROJECTION) or module in _HEADS):
        return ""
    return "int8" if module in _HEADS or _is_last(config, module) else quantization


def quantize(module: nn.Linear, kind: str) -> None:
    """Replaces the layer's weight, on whatever device it is. kind: see `scheme`."""
    from torchao.quantization import quantize_

    config = _int8() if kind == "int8" else _int4(module.weight)
    if config:
        quantize_(module, config)


def stored_bytes(weight: Tensor, kind: str, dtype: torch.dtype, on_gpu: bool = True) -> int:
    """Bytes that a tensor of this shape takes once it is loaded; nothing is allocated."""
    if kind == "int4" and not _group(weight):
        kind = ""
    if not kind:
        return weight.numel() * dtype.itemsize
    if kind == "int8":
        return weight.numel() + weight.shape[0] * _SCALE_BYTES
    if not on_gpu:
        return weight.numel() + weight.numel() // _group(weight) * (dtype.itemsize + 1)
    tiles = (_TILE_ROWS, _TILE_COLUMNS)
    padded = prod(-(-n // tile) * tile for n, tile in zip(weight.shape, tiles, strict=True))
    return padded // 2 + padded // _group(weight) * 2 * dtype.itemsize


def _check_packed_int4(device: torch.device, dtype: torch.dtype) -> None:
    if dtype != torch.bfloat16:
        raise CheckpointError("int4 on a GPU computes in bfloat16: use --dtype bfloat16, or int8")
    if torch.cuda.get_device_capability(device) < (8, 0):
        name = torch.cuda.get_device_name(device)
        raise CheckpointError(f"{name} has no int4 kernels (Ampere and newer have): use int8")


def _is_last(config: LanguageModelConfig, module: str) -> bool:
    stack, _, rest = module.removeprefix("model.").partition(".")
    depth = config.num_layers if stack == "layers" else config.num_audio_layers
    return int(rest.partition(".")[0]) >= depth - LAST_LAYERS


def _group(weight: Tensor) -> int:
    """Values that share a scale; 0 if the rows cannot be cut into groups."""
    return next((size for size in _GROUPS if weight.shape[1] % size == 0), 0)


def _int8() -> AOBaseConfig:
    from torchao.quantization import Int8WeightOnlyConfig

    return Int8WeightOnlyConfig(set_inductor_config=False)


def _int4(weight: Tensor) -> AOBaseConfig | None:
    from torchao.quantization import Int4WeightOnlyConfig, IntxWeightOnlyConfig, PerGroup

    group = _group(weight)
    if not group:
        return None
    if weight.device.type == "cuda":
        return Int4WeightOnlyConfig(
            group, set_inductor_config=False, int4_packing_format="tile_packed_to_4d"
        )
    return IntxWeightOnlyConfig(torch.int4, PerGroup(group))
