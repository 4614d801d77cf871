"""Makes labelled sounds: `NAME.npy`, all of them in one row, beside `NAME.jsonl`, a line for each.

A line holds `start` and `samples`, its place in the row at 16 kHz (int16), and `tasks`.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from training.sounds.items import LabelledSound, draw
from training.sounds.items import held_out as draw_held_out
from training.sounds.voices import Voices
from training.sounds.words import Task

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training sounds`."""
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.npy, NAME.jsonl")
    parser.add_argument("--name", default="train", help="of the two files")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="other sentences and wordings")
    parser.add_argument("--lines", type=Path, help="folder of the speech shards' .jsonl")
    parser.add_argument(
        "--speech", type=Path, help="folder of their decoded .npy; without, nobody speaks"
    )


def run(args: argparse.Namespace) -> None:
    """Writes the two files."""
    voices = Voices.load(args.lines or args.speech, args.speech) if args.speech else None
    sounds = _stream(args.seed, args.count, voices, args.held_out)
    args.out.mkdir(parents=True, exist_ok=True)
    seconds = write(args.out / args.name, sounds)
    logger.info("%s: %d sounds, %.0f s", args.name, args.count, seconds)


def _stream(
    seed: int, count: int, voices: Voices | None, held_out: bool
) -> Iterable[LabelledSound]:
    if held_out:
        return draw_held_out(seed, count, voices)
    rng = np.random.default_rng(seed)
    return (draw(rng, None, voices) for _ in range(count))


def write(path: Path, sounds: Iterable[LabelledSound]) -> float:
    """path: without a suffix. Returns: seconds of sound."""
    rows, start = [], 0
    with path.with_suffix(".jsonl").open("w", encoding="utf-8") as lines:
        for sound in sounds:
            row = np.round(sound.waveform * 32767).astype(np.int16)
            rows.append(row)
            tasks = [asdict(task) for task in sound.tasks]
            line = {"start": start, "samples": len(row), "tasks": tasks}
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            start += len(row)
    np.save(path.with_suffix(".npy"), np.concatenate(rows))
    return start / 16_000


def read(path: Path) -> Iterator[LabelledSound]:
    """What `write` wrote, one by one; sounds are mapped, not loaded."""
    row = np.load(path.with_suffix(".npy"), mmap_mode="r")
    for text in path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        waveform = row[line["start"] : line["start"] + line["samples"]].astype(np.float32) / 32767
        yield LabelledSound(waveform, tuple(Task(**task) for task in line["tasks"]))
