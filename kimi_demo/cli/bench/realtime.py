"""How soon a live conversation answers: recordings played to the server in real time, and where the
time between the last word and the first sound goes.
"""

from __future__ import annotations

import asyncio
import statistics
from contextlib import closing
from pathlib import Path

import torch

from kimi_demo import audio
from kimi_demo.api.service import Service
from kimi_demo.api.serving import serving
from kimi_demo.audio import INPUT_SAMPLE_RATE
from kimi_demo.cli.bench import surroundings
from kimi_demo.cli.talk.client import Talk, TurnTimes
from kimi_demo.cli.talk.command import session_for, socket_url
from kimi_demo.cli.talk.devices import RecordedMicrophone, RecordingLoudspeaker
from kimi_demo.engine.base import Engine
from kimi_demo.engine.open import open_engine
from kimi_demo.errors import InputError
from kimi_demo.options import ModelOptions

QUESTIONS = Path(__file__).parents[3] / "examples" / "audio"
STAGES = ("noticed_s", "first_text_s", "first_sound_s")


def measure(options: ModelOptions, turns: int, silence_ms: int) -> dict[str, object]:
    """Loads a model and lets recordings talk with it.

    Raises: InputError without the examples' recordings; CheckpointError if it cannot be loaded.
    """
    with closing(open_engine(options)) as engine:
        found = _measured(engine, turns, silence_ms)
        capabilities = engine.capabilities
    return {
        "model": capabilities.model,
        "device": capabilities.device,
        "devices": surroundings.device_names([torch.device(capabilities.device)]),
        "threads": torch.get_num_threads(),
        "versions": surroundings.versions(),
        "commit": surroundings.commit(),
        "realtime": found,
    }


def _measured(engine: Engine, turns: int, silence_ms: int) -> dict[str, object]:
    """Seconds after the user's last word, over so many turns of one conversation: until the server
    says that the turn is over, until the answer's first word, until its first sound."""
    paths = sorted(QUESTIONS.glob("question-*.wav"))
    if not paths:
        raise InputError("--realtime plays the recordings of examples/: run it in a checkout")
    questions = [audio.read(path, sample_rate=INPUT_SAMPLE_RATE) for path in paths]
    microphone = RecordedMicrophone([questions[n % len(questions)] for n in range(turns)])
    with serving(Service(engine)) as url:
        found = asyncio.run(_held(microphone, socket_url(f"{url}/v1"), silence_ms))
    return {
        "turns": len(found),
        "answered": sum(turn.first_sound_s is not None for turn in found),
        "silence_ms": silence_ms,
        **{stage: _spread([getattr(turn, stage) for turn in found]) for stage in STAGES},
        "of_the_first_turn_s": found[0].first_sound_s if found else None,
        "of_the_last_turn_s": found[-1].first_sound_s if found else None,
    }


async def _held(microphone: RecordedMicrophone, url: str, silence_ms: int) -> list[TurnTimes]:
    def idle(value: bool) -> None:
        (microphone.idle.set if value else microphone.idle.clear)()

    talk = Talk(microphone, RecordingLoudspeaker(), idle=idle)
    await talk.run(url, "", session_for(silence_ms))
    return talk.turns


def _spread(values: list[float | None]) -> dict[str, float] | None:
    """p50, p95 and the worst."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return {
        "p50": round(statistics.median(known), 3),
        "p95": round(known[min(len(known) - 1, round(0.95 * (len(known) - 1)))], 3),
        "max": round(known[-1], 3),
    }
