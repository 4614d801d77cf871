"""Averages runs that parted from one checkpoint and learned apart, each from batches of its own.

No run waits for another, as it would to exchange gradients at every step; the runs must stay near
each other (local SGD, Stich 2019).
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="a run that --resume goes on from")


def run(args: argparse.Namespace) -> None:
    """Writes the mean of all weights; the optimisers' states are those of the first run."""
    states = [_checkpoint(folder) for folder in args.runs]
    merged = states[0] | {
        name: averaged([state[name] for state in states]) for name in ("module", "ema")
    }
    args.out.mkdir(parents=True, exist_ok=True)
    partial = args.out / "checkpoint.partial"
    torch.save(merged, partial)
    partial.replace(args.out / "checkpoint.pt")
    logger.info("%d runs, steps %s", len(states), [state["step"] for state in states])


def averaged(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every value; what is no real number is taken from the first.

    Raises: ValueError if the runs are not of one kind.
    """
    shapes = [{name: value.shape for name, value in each.items()} for each in weights]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("these runs do not hold the same tensors")
    return {
        name: torch.stack([each[name] for each in weights]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in weights[0].items()
    }


def _checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
