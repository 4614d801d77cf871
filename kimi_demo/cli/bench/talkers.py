"""What company costs: several talkers at one engine beside one alone, in one run."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from kimi_demo.cli.bench.speed import spread
from kimi_demo.engine.base import Engine
from kimi_demo.events import AudioDelta
from kimi_demo.intents import Speak
from kimi_demo.model.detokenizer.vocoder import Vocoder

TALKERS = (1, 2, 4)
VOCODER_FRAMES = 64


@dataclass(frozen=True)
class Heard:
    """What one listener, who plays from the first sound on, gets. Seconds."""

    first_sound_s: float
    first_sound_processor_s: float  # of the whole process until then
    sound_s: float
    silent_s: float  # between the first sound and the last
    wall_s: float


def talkers(engine: Engine, intent: Speak, repeats: int) -> list[dict[str, object]]:
    """For each number of talkers who begin at once, each with a seed of its own: when the last of
    them is first heard, sound made each second, seconds without sound, and processor seconds.
    """
    _together(engine, intent, max(TALKERS))  # what is set up on first use
    return [_of(count, engine, intent, repeats) for count in TALKERS]


def vocoder_ms(vocoder: Vocoder, repeats: int) -> dict[str, float] | None:
    """Processor milliseconds for `VOCODER_FRAMES` frames."""
    weight = vocoder.conv_pre.weight
    mel = torch.zeros(1, vocoder.config.num_mels, VOCODER_FRAMES).to(weight)
    with torch.inference_mode():
        vocoder(mel)
        return spread([_processor_s(lambda: vocoder(mel)) * 1e3 for _ in range(3 * repeats)])


def _of(count: int, engine: Engine, intent: Speak, repeats: int) -> dict[str, object]:
    runs, processor = [], []
    for _ in range(repeats):
        began = time.process_time()
        runs.append(_together(engine, intent, count))
        processor.append(time.process_time() - began)
    return {
        "talkers": count,
        "worst_first_sound_s": spread([max(h.first_sound_s for h in run) for run in runs]),
        "worst_first_sound_processor_s": spread(
            [max(h.first_sound_processor_s for h in run) for run in runs]
        ),
        "sound_each_second": spread([_throughput(run) for run in runs]),
        "silent_s": spread([max(h.silent_s for h in run) for run in runs]),
        "processor_s_each_sound_s": statistics.median(
            seconds / sum(heard.sound_s for heard in run)
            for seconds, run in zip(processor, runs, strict=True)
        ),
    }


def _together(engine: Engine, intent: Speak, count: int) -> list[Heard]:
    intents = [dataclasses.replace(intent, seed=intent.seed + n) for n in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda one: _listened(engine, one), intents))


def _listened(engine: Engine, intent: Speak) -> Heard:
    began, processor_began = time.perf_counter(), time.process_time()
    first_s, processor_s, played_until, sound_s, silent_s = None, 0.0, 0.0, 0.0, 0.0
    for event in engine.stream(intent):
        if not isinstance(event, AudioDelta):
            continue
        now_s = time.perf_counter() - began
        if first_s is None:
            first_s = played_until = now_s
            processor_s = time.process_time() - processor_began
        silent_s += max(0.0, now_s - played_until)
        length_s = len(event.waveform) / event.sample_rate
        played_until = max(played_until, now_s) + length_s
        sound_s += length_s
    wall_s = time.perf_counter() - began
    return Heard(wall_s if first_s is None else first_s, processor_s, sound_s, silent_s, wall_s)


def _throughput(run: Sequence[Heard]) -> float:
    return sum(heard.sound_s for heard in run) / max(heard.wall_s for heard in run)


def _processor_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
