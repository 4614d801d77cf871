"""Makes the page's examples that are no plain sentences: sounds, scenes, moods, questions.

Everything is drawn from one seed; clips of speech repeat up to the synthesiser's own noise.
"""

from __future__ import annotations

import argparse
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from training.corpus import MANDARIN, speak
from training.listening import count_beeps, heard
from training.sound_sources import BEEP
from training.sounds import Item, draw_item
from training.synthesizers import SAMPLE_RATE_HZ

logger = logging.getLogger(__name__)

MOST_S = 3.7  # 16 bit at 16 kHz: less than 120 kB a clip
SHORTEST_MOOD_S = 1.8  # a word alone shows none
MOST_DRAWS = 5_000
SEQUENCE = frozenset({"dog", "bell", "siren", "bird", "phone ring", "knocking", "piano melody"})
QUESTIONS = {
    "question-en": ("slt", "What is the capital of France?"),
    "question-zh": (MANDARIN, "你叫什么名字？"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("examples/audio"), help="folder of clips")
    parser.add_argument("--seed", type=int, default=20)


def run(args: argparse.Namespace) -> None:
    """Writes every clip as a 16 kHz WAV."""
    args.out.mkdir(parents=True, exist_ok=True)
    for name, waveform in clips(args.seed):
        path = args.out / f"{name}.wav"
        soundfile.write(path, waveform, SAMPLE_RATE_HZ, subtype="PCM_16")
        logger.info("%s: %.1f s", path, len(waveform) / SAMPLE_RATE_HZ)


def clips(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """(file name without ending, (T,) int16 at 16 kHz)."""
    for name in ("dog", "phone ring", "rain"):
        yield _named(f"sound-{name}"), _drawn(seed, "sound", _only(name)).waveform
    for scene in ("street", "kitchen"):
        fits = _answering("scene", scene)
        yield f"scene-{scene}", _drawn(seed, "scene", fits).waveform
    for mood, language, suffix in (("happy", "english", "en"), ("angry", "mandarin", "zh")):
        fits = _mood(mood, language)
        yield f"emotion-{mood}-{suffix}", _drawn(seed, "emotion", fits).waveform
    sequence = _drawn(seed, "sequence", lambda item: set(heard(item.events)) <= SEQUENCE)
    yield _named("sequence-" + "-then-".join(heard(sequence.events))), sequence.waveform
    yield "beeps-three", _drawn(seed, "sound", _three_beeps).waveform
    for name, (voice, text) in QUESTIONS.items():
        yield name, speak(voice, text, random.Random(seed)).waveform


def _drawn(seed: int, kind: str, fits: Callable[[Item], bool]) -> Item:
    """The first drawn item that fits and is short enough."""
    rng = random.Random(f"{seed}/{kind}")
    for _ in range(MOST_DRAWS):
        item = draw_item(rng, kind, held_out=True)
        if len(item.waveform) <= MOST_S * SAMPLE_RATE_HZ and fits(item):
            return item
    raise RuntimeError(f"no {kind} of the wanted sort among {MOST_DRAWS} draws")


def _only(name: str) -> Callable[[Item], bool]:
    return lambda item: heard(item.events) == [name]


def _answering(task: str, answer: str) -> Callable[[Item], bool]:
    return lambda item: (task, "", answer) in item.tasks


def _mood(mood: str, language: str) -> Callable[[Item], bool]:
    def fits(item: Item) -> bool:
        spoken_long = len(item.waveform) > SHORTEST_MOOD_S * SAMPLE_RATE_HZ
        return spoken_long and item.emotion == mood and item.events[0][0].endswith(language)

    return fits


def _three_beeps(item: Item) -> bool:
    return heard(item.events) == [BEEP] and count_beeps(item.events) == 3


def _named(text: str) -> str:
    return text.replace(" ", "-")
