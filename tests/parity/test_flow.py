"""The flow-matching transformer and its solver against the reference's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kimi_demo.model.detokenizer.cache import FlowCache
from kimi_demo.model.detokenizer.config import StreamingConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.loading import load_flow
from kimi_demo.model.detokenizer.solver import CLEAN_TIMESTEP, euler_schedule

VELOCITY_TOLERANCE = 1e-4
TIMESTEPS = {"v1": 517, "v2_with_cache": 900, "v3_with_trimmed_cache": 0}


@pytest.fixture(scope="module")
def flow(parity_dir: Path) -> FlowTransformer:
    return load_flow(parity_dir / "audio_detokenizer")


@pytest.fixture(scope="module")
def golden(parity_dir: Path) -> dict[str, Tensor]:
    return load_file(parity_dir / "audio_detokenizer" / "single_forward.safetensors")


def evaluate(
    flow: FlowTransformer, golden: dict[str, Tensor], frames: int, positions: int, cache: FlowCache
) -> Tensor:
    """Velocity of x`frames` at positions`positions`; the condition follows the frames."""
    timestep = list(TIMESTEPS.values())[positions - 1]
    with torch.inference_mode():
        return flow(
            golden[f"x{frames}"][None],
            golden[f"condition{frames}"][None],
            torch.tensor([[timestep]]),
            golden[f"positions{positions}"][None],
            cache,
        )[0]


def test_single_forward_passes(flow: FlowTransformer, golden: dict[str, Tensor]) -> None:
    first, second = len(golden["x1"]), len(golden["x2"])
    # A ring of `first` frames drops the oldest by itself: case (c) needs no trimming of its own.
    cache = FlowCache(flow.config, slots=1, capacity=first, chunk_frames=max(first, second))
    velocities = [evaluate(flow, golden, 1, 1, cache)]
    cache.commit([first], first)
    velocities.append(evaluate(flow, golden, 2, 2, cache))
    cache.commit([second], second)
    velocities.append(evaluate(flow, golden, 2, 3, cache))
    for name, velocity in zip(TIMESTEPS, velocities, strict=True):
        torch.testing.assert_close(velocity, golden[name], atol=VELOCITY_TOLERANCE, rtol=0)


def test_the_past_matters(flow: FlowTransformer, golden: dict[str, Tensor]) -> None:
    empty = FlowCache(flow.config, slots=1, capacity=1, chunk_frames=len(golden["x2"]))
    velocity = evaluate(flow, golden, 2, 2, empty)
    assert (velocity - golden["v2_with_cache"]).abs().max() > 100 * VELOCITY_TOLERANCE


def test_euler_timesteps(parity_dir: Path) -> None:
    recorded = json.loads((parity_dir / "audio_detokenizer" / "streaming.json").read_text())
    schedule = euler_schedule(StreamingConfig().ode_grid_points)
    timesteps = [step.timestep for step in schedule]
    assert timesteps == recorded["timestep_ints_of_one_chunk"]
    assert [*timesteps, CLEAN_TIMESTEP] == recorded["timestep_ints_of_nonfinal_chunk"]
    assert sum(step.size for step in schedule) == pytest.approx(1.0, abs=1e-6)
