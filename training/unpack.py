"""Takes a packed checkpoint apart into run folders that training can start from.

The runs themselves hold more (optimisers, readouts that only training needs) and are not part of
the repository; this is what is left of them in the packed weights: enough to hear new material
with, and for --start-from.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.placement import Placement
from training.flow import save_flow_config
from training.vocoder import TrainableVocoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", default=locate.EMBEDDED, help="nano, or a folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")


def run(args: argparse.Namespace) -> None:
    """Writes the runs speech-tokenizer, language-model, flow and vocoder."""
    packed = loading.load(locate.find(args.checkpoint), Placement.on("cpu"), prepare=False)
    parts = {
        "speech-tokenizer": ("encoder.", packed.speech_tokenizer.encoder),
        "language-model": ("model.", packed.language_model),
        "flow": ("", packed.detokenizer.flow),
        "vocoder": ("", TrainableVocoder.of(packed.detokenizer.vocoder)),
    }
    for name, (prefix, part) in parts.items():
        _write(args.out / name, {prefix + key: value for key, value in part.state_dict().items()})
    save_flow_config(packed.detokenizer.flow.config, args.out / "flow")


def _write(folder: Path, weights: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"ema": dict(weights)}, folder / "checkpoint.pt")
