"""How the visitor wants the voice to vary, checked."""

from __future__ import annotations

import dataclasses

from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.messages import Sampling

MAX_SEED = 2**31 - 1


def chosen_sampling(engine: Engine, temperature: float, top_k: float) -> Sampling:
    """The checkpoint's sampling of speech with these choices. Raises: InputError out of range."""
    sampling = engine.capabilities.tasks.speech_sampling
    try:
        audio = dataclasses.replace(sampling.audio, temperature=temperature, top_k=int(top_k))
    except (TypeError, ValueError) as exc:
        raise InputError(f"these voice settings are not possible: {exc}") from exc
    return dataclasses.replace(sampling, audio=audio)


def checked_seed(seed: float | None) -> int:
    """The seed as an engine takes it. Raises: InputError if it is none."""
    if seed is None or not 0 <= seed <= MAX_SEED:
        raise InputError(f"the seed must be a whole number from 0 to {MAX_SEED}")
    return int(seed)
