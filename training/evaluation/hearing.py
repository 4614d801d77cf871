"""How well a checkpoint writes down what others say: voices that it never met, and people."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.text import language_of
from training.evaluation import texts
from training.evaluation.bench import Bench, Measurement
from training.evaluation.rows import Figure, NotMeasuredError
from training.evaluation.scores import Pair, error_rates
from training.evaluation.voices import ROOMS, recorded

logger = logging.getLogger(__name__)

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")


def natural(language: str, sentences: Callable[[int], list[str]]) -> Measurement:
    """Held-out sentences in voices of Kokoro that no training has."""

    def measure(bench: Bench) -> Mapping[str, Figure]:
        pairs = [
            _heard(bench, text, bench.voices.unmet(text, language, number))
            for number, text in enumerate(sentences(bench.limit))
        ]
        return {"heard": error_rates(pairs, language)}

    return measure


def flite(bench: Bench) -> Mapping[str, Figure]:
    """A synthetic voice, clean and as it would be recorded."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for text in texts.open_vocabulary(bench.limit):
        clean = bench.voices.flite(text)
        found["clean"].append(_heard(bench, text, clean))
        for room in ROOMS:
            found[room].append(_heard(bench, text, recorded(clean, room, text)))
    return {name: error_rates(pairs, "en") for name, pairs in found.items()}


def people(bench: Bench) -> Mapping[str, Figure]:
    """A folder of recordings, each with its text, by the language of the text."""
    if bench.recordings is None:
        raise NotMeasuredError("needs --recordings, a folder of NAME.wav and NAME.txt")
    found: dict[str, list[Pair]] = defaultdict(list)
    for path, text in read_recordings(bench.recordings):
        if len(found[language_of(text)]) < bench.limit:
            sound = audio.read(path, sample_rate=INPUT_SAMPLE_RATE)
            found[language_of(text)].append(_heard(bench, text, sound))
    return {language: error_rates(pairs, language) for language, pairs in found.items()}


def read_recordings(folder: Path) -> Iterator[tuple[Path, str]]:
    """Sounds and what is said in them, in the order of their names."""
    for path in sorted(folder.iterdir()):
        text = path.with_suffix(".txt")
        if path.suffix.lower() in SUFFIXES and text.exists():
            yield path, text.read_text(encoding="utf-8").strip()


def _heard(bench: Bench, text: str, sound: Audio) -> Pair:
    pair = (text, bench.written(sound))
    logger.info("heard: %s -> %s", *pair)
    return pair
