"""Euler integration of the flow from noise (time 0) to mel (time 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

TIMESTEPS = 1000  # the model knows time as an integer in [0, 1000)
CLEAN_TIMESTEP = 999  # the time at which finished frames are shown to later chunks


@dataclass(frozen=True)
class EulerStep:
    """One update: `x += size * velocity(x, timestep)`."""

    timestep: int
    size: float


def euler_schedule(grid_points: int) -> tuple[EulerStep, ...]:
    """The `grid_points - 1` updates over an even grid on [0, 1].

    Time is summed up in float32 and cut, not rounded, to an integer. Both show in the timesteps
    (the fourth is 103, not 102) and the model was run this way, so the sum is done likewise.
    """
    grid = torch.linspace(0.0, 1.0, grid_points)
    time, steps = grid[0], []
    for following in grid[1:]:
        size = following - time
        steps.append(EulerStep(int(time * TIMESTEPS), float(size)))
        time = time + size
    return tuple(steps)
