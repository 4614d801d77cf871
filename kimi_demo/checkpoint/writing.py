"""Writes tensors as every part's folder is read: one file, or shards and the index that names them.

Source of the layout: huggingface_hub, which numbers the shards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor

from kimi_demo.model.files import INDEX


def write(
    tensors: Mapping[str, Tensor],
    folder: Path,
    max_shard_bytes: int,
    report: Callable[[int], None] = lambda written: None,
) -> None:
    """Replaces the weights of a folder, which need not be there yet.

    max_shard_bytes: of the values in a file; a larger tensor has a file of its own.
    report: hears before each file how many bytes are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / INDEX, *folder.glob("model*.safetensors")):
        old.unlink(missing_ok=True)
    split = split_torch_state_dict_into_shards(dict(tensors), max_shard_size=max_shard_bytes)
    written = 0
    for file, names in split.filename_to_tensors.items():
        report(written)
        shard = {name: _alone(tensors[name]) for name in names}
        save_file(shard, folder / file, metadata={"format": "pt"})
        written += sum(tensor.nbytes for tensor in shard.values())
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _alone(tensor: Tensor) -> Tensor:
    """As safetensors wants it: a view is copied, anything else stays in the mapped file."""
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)
