"""Everything that is measured of one model, as one object of plain values."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.conversion import with_safetensors
from kimi_demo.checkpoint.layout import CONFIG, Layout
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.checkpoint.random_weights import random_tensors
from kimi_demo.checkpoint.released import RELEASED, TINY, write_configuration
from kimi_demo.cli.bench import comparison, memory, speed, surroundings, talkers
from kimi_demo.engine.factory import device_of, enough_memory, placement_of, share_cores
from kimi_demo.engine.local import LocalEngine
from kimi_demo.engine.tasks.speak import sentence
from kimi_demo.errors import InputError
from kimi_demo.intents import Speak
from kimi_demo.messages import CODES_PER_S
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.generation import SPEECH_POSITIONS
from kimi_demo.model.tensors import TensorSource, stored_in
from kimi_demo.options import ModelOptions

TEXT = "The weather is fine today, and the train to the north leaves at half past seven."
RANDOM_SIZES = {"released": RELEASED, "tiny": TINY}


@dataclass(frozen=True)
class Wish:
    """What is to be measured. random: one of `RANDOM_SIZES` in place of a checkpoint, or empty.

    seconds: of speech by random weights, which would never end, and of the language model alone;
    a checkpoint's answer ends by itself. compare: quantised weights with the exact ones.
    """

    options: ModelOptions
    random: str = ""
    repeats: int = 3
    seconds: float = 10.0
    compare: bool = False
    seed: int = 0


@dataclass(frozen=True)
class _Subject:
    """A checkpoint that can be loaded.

    placement: as wished. exact: without quantisation, by itself; the first must be gone by then.
    """

    wish: Wish
    layout: Layout
    placement: Placement
    exact: Placement | None
    tensors: TensorSource

    def intent(self, checkpoint: loading.Checkpoint) -> Speak:
        limit = self.steps(checkpoint) if self.wish.random else None
        return Speak(TEXT, seed=self.wish.seed, max_new_tokens=limit)

    def steps(self, checkpoint: loading.Checkpoint) -> int:
        """Decode steps of so much speech: the delay, then a step for each code."""
        delay = checkpoint.language_model.config.audio_delay_tokens
        return delay + round(self.wish.seconds * CODES_PER_S)


def measure(wish: Wish) -> dict[str, object]:
    """Loads what is wished for and measures it.

    Raises: InputError for wishes that contradict each other; CheckpointError if the model cannot be
    loaded.
    """
    _check(wish)
    with _opened(wish) as subject, enough_memory(wish.options):
        share_cores(device_of(wish.options), wish.options.threads)
        devices = memory.devices_of(subject.placement)
        memory.forget_peaks(devices)
        figures, followed = _measured(subject, devices)
        if followed and subject.exact:
            figures["quantization_error"] = _error(subject, subject.exact, *followed)
        return _described(subject, devices) | figures


def _check(wish: Wish) -> None:
    if wish.compare and wish.options.quantize == "none":
        raise InputError("--compare tells what quantisation changes: add --quantize int8 or int4")
    most = SPEECH_POSITIONS / CODES_PER_S / 2  # the other half is the prompt's, and the delay's
    if not 0 < wish.seconds <= most:
        raise InputError(f"--seconds {wish.seconds:g}: choose more than 0 and at most {most:g}")


@contextmanager
def _opened(wish: Wish) -> Iterator[_Subject]:
    """Finds the checkpoint, or describes one that will be filled at random; plans its places."""
    if not wish.random:
        named = (wish.options.model, wish.options.revision)
        places = _planned(wish, locate.find_configuration(*named))
        yield _Subject(wish, with_safetensors(locate.find(*named)), *places, stored_in)
        return
    with tempfile.TemporaryDirectory() as folder:
        layout = write_configuration(RANDOM_SIZES[wish.random], Path(folder) / "random")
        placement, exact = _planned(wish, layout)
        if "disk" in placement.language_model.values():
            raise InputError("random weights lie in no file: leave --offload disk out")
        yield _Subject(wish, layout, placement, exact, random_tensors(layout, wish.seed))


def _planned(wish: Wish, layout: Layout) -> tuple[Placement, Placement | None]:
    """Of the model as wished and, if it is to be compared, without quantisation."""
    exact = replace(wish.options, quantize="none")
    return (
        placement_of(wish.options, layout),
        placement_of(exact, layout) if wish.compare else None,
    )


def _measured(
    subject: _Subject, devices: list[torch.device]
) -> tuple[dict[str, object], tuple[comparison.Path, comparison.Scores] | None]:
    """All figures of the model as wished; its answer and scores, if those are to be compared."""
    started = time.perf_counter()
    checkpoint = loading.load(subject.layout, subject.placement, subject.tensors)
    speed.synchronize(checkpoint.language_model)
    figures: dict[str, object] = {
        "parameters": checkpoint.parameters,
        "load_s": time.perf_counter() - started,
    }
    figures |= _speed(subject, checkpoint)
    figures["memory"] = {
        "plan": memory.planned(subject.placement),
        "gpu_peaks": memory.peaks(devices),
        "peak_resident_bytes": memory.peak_resident_bytes(),
    }
    figures["quantization_error"] = None
    return figures, _followed(subject, checkpoint) if subject.exact else None


def _speed(subject: _Subject, checkpoint: loading.Checkpoint) -> dict[str, object]:
    """The whole first: what is cold then is so for all parts."""
    wish, steps = subject.wish, subject.steps(checkpoint)
    engine = LocalEngine(checkpoint)
    intent = subject.intent(checkpoint)
    speech = speed.speech_speed(engine, intent, wish.repeats)
    company = talkers.talkers(engine, intent, wish.repeats)
    engine.close()
    model = checkpoint.language_model
    return {
        "speech": {"text": TEXT, **speech},
        "talkers": company,
        "vocoder_64_frames_processor_ms": talkers.vocoder_ms(
            checkpoint.detokenizer.vocoder, wish.repeats
        ),
        "language_model": speed.language_model_speed(model, steps, wish.repeats, wish.seed),
    }


def _followed(
    subject: _Subject, checkpoint: loading.Checkpoint
) -> tuple[comparison.Path, comparison.Scores]:
    turn = sentence(subject.intent(checkpoint), TEXT, checkpoint.tasks)
    path = comparison.answered(checkpoint, turn, subject.steps(checkpoint))
    return path, comparison.follow(checkpoint.language_model, path)


def _error(
    subject: _Subject, placement: Placement, path: comparison.Path, scores: comparison.Scores
) -> dict[str, object]:
    """Loads the same weights as they are and lets them follow the same path."""
    gc.collect()  # of the quantised ones nothing is held any more
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    root = subject.layout.root
    model = loading.load_language_model(
        root,
        LanguageModelConfig.from_json(root / CONFIG),
        placement.language_model,
        placement.dtype,
        tensors=subject.tensors,
    )
    return comparison.difference(scores, comparison.follow(model, path))


def _described(subject: _Subject, devices: list[torch.device]) -> dict[str, object]:
    wish, placement = subject.wish, subject.placement
    return {
        "model": None if wish.random else wish.options.model,
        "revision": wish.options.revision,
        "random": wish.random or None,
        "devices": surroundings.device_names(devices),
        "dtype": str(placement.dtype).removeprefix("torch."),
        "quantization": placement.quantization,
        "offload": None if wish.options.offload == "none" else wish.options.offload,
        "repeats": wish.repeats,
        "seconds": wish.seconds,
        "seed": wish.seed,
        "threads": torch.get_num_threads(),
        "versions": surroundings.versions(),
        "commit": surroundings.commit(),
    }
