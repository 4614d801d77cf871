"""How fast the language model reads and goes on, and how soon and how fast speech comes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from kimi_demo.engine.base import Engine
from kimi_demo.events import Timings, collect
from kimi_demo.intents import Speak
from kimi_demo.model.language_model import Feed, LanguageModel
from kimi_demo.model.prompt import PromptStreams

# A question of half a minute with its history; less where steps to come need the positions.
PROMPT_POSITIONS = 500
_WARM_UP_STEPS = 4


def language_model_speed(
    model: LanguageModel, steps: int, repeats: int, seed: int
) -> dict[str, object]:
    """Prefill and decode alone: ids are given, none is drawn, no step waits for the one before."""
    length = min(PROMPT_POSITIONS, model.config.max_positions - steps)
    prompt = _random_prompt(model, length, seed)
    ids = _random_ids(model, steps, seed).T.tolist()
    cache = model.new_cache(1, length + steps)

    def prefill() -> None:
        model.prefill(prompt, cache, 0)

    def decode(count: int = steps) -> None:
        for n, (text_id, audio_id) in enumerate(ids[:count]):
            model.decode([Feed(0, length + n, text_id, audio_id)], cache)

    prefill()
    decode(min(_WARM_UP_STEPS, steps))
    read = [_seconds(prefill, model) for _ in range(repeats)]
    went_on = [_seconds(decode, model) for _ in range(repeats)]
    return {
        "prompt_positions": length,
        "decode_steps": steps,
        "prefill_s": spread(read),
        "decode_steps_per_s": spread([steps / seconds for seconds in went_on]),
        "decode_step_processor_ms": spread(
            [1e3 * _processor_seconds(decode) / steps for _ in range(repeats)]
        ),
    }


def speech_speed(engine: Engine, intent: Speak, repeats: int) -> dict[str, object]:
    """The engine as everybody uses it: the first answer by itself, since it pays for all that is
    set up on first use, then `repeats` more."""
    cold, *warm = (_timings(engine, intent) for _ in range(1 + repeats))
    return {
        "cold_first_audio_s": cold.first_audio_s,
        "first_audio_s": spread([timings.first_audio_s for timings in warm]),
        "rtf": spread([timings.rtf for timings in warm]),
        "audio_s": spread([timings.audio_s for timings in warm]),
    }


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """The middle and the ends of what was measured; None if nothing came."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": statistics.median(known), "min": min(known), "max": max(known)}


def synchronize(model: LanguageModel) -> None:
    """Waits for the GPUs that the model lies on; the CPU is always done."""
    for device in {parameter.device for parameter in model.parameters()} | {model.device}:
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def _timings(engine: Engine, intent: Speak) -> Timings:
    return collect(engine.stream(intent)).finished.timings


def _seconds(work: Callable[[], None], model: LanguageModel) -> float:
    synchronize(model)
    started = time.perf_counter()
    work()
    synchronize(model)
    return time.perf_counter() - started


def _processor_seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _random_prompt(model: LanguageModel, length: int, seed: int) -> PromptStreams:
    text, audio = _random_ids(model, length, seed).tolist()
    return PromptStreams(text, audio, [False] * length, [])


def _random_ids(model: LanguageModel, length: int, seed: int) -> torch.Tensor:
    """(2, T): text ids over audio ids."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    offset = config.audio_token_offset
    text = torch.randint(1, offset, (length,), generator=generator)
    audio = torch.randint(offset, config.vocabulary_size, (length,), generator=generator)
    return torch.stack([text, audio]).to(model.device)
