"""`evaluate`: how well a checkpoint does everything that it is for, on what it never saw.

Every row asks the engine as commands and page do. Progress goes to the log; a row that cannot be
measured says why.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from kimi_demo.cli.bench.command import count
from kimi_demo.cli.bench.surroundings import commit
from kimi_demo.cli.common import add_json_argument, print_json
from kimi_demo.engine.open import open_engine
from kimi_demo.options import ModelOptions
from training.evaluation import judge
from training.evaluation.bench import Bench
from training.evaluation.table import LINKS, SECTIONS, measured, quoted, readable
from training.evaluation.voices import Voices


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("--checkpoint", default="nano", help="nano, a folder, or a hub id")
    add_json_argument(parser)
    parser.add_argument("--limit", type=count, default=30, help="items of a row, at most")
    whose = "base, another size, a folder or a hub id of faster-whisper: who hears what is said"
    parser.add_argument("--judge", default=judge.BASE, help=whose)
    parser.add_argument("--teachers", type=Path, help="folder of Kokoro, whom it is to hear")
    parser.add_argument("--cache", type=Path, help="folder to keep that speech in")
    people = "folder of real voices: NAME.wav and NAME.txt"
    parser.add_argument("--recordings", type=Path, help=people)
    parser.add_argument("--sounds", type=Path, help="folder of real sounds, named by class")
    parser.add_argument("--links", action="store_true", help="also judge every link of speech")
    names = ", ".join(SECTIONS)
    parser.add_argument("--only", nargs="+", choices=tuple(SECTIONS), metavar="NAME", help=names)
    parser.add_argument("--card", type=Path, help="write the table into this card, too")


def run(args: argparse.Namespace) -> None:
    """Measures and prints: one object, or the table for people."""
    ear, voices = judge.chosen(args.judge, args.teachers), Voices(args.cache, args.teachers)
    names = args.only or [name for name in SECTIONS if args.links or name not in LINKS]
    engine = open_engine(ModelOptions(model=args.checkpoint))
    try:
        folders = (args.recordings, args.sounds)
        bench = Bench(engine, ear, voices, args.checkpoint, args.limit, *folders)
        results = measured(bench, names)
        device = engine.capabilities.device
    finally:
        engine.close()
    if args.card:
        about = (
            f"`python -m training evaluate --limit {args.limit}`, held-out material, {device}, "
            f"torch {torch.__version__}; speech is judged by Whisper {Path(args.judge).name}."
        )
        card = quoted(args.card.read_text(encoding="utf-8"), about, results)
        args.card.write_text(card, encoding="utf-8")
    if not args.json:
        print("\n".join(readable(results)))
        return
    print_json(
        {
            "checkpoint": args.checkpoint,
            "limit": args.limit,
            "judge": args.judge,
            "commit": commit(),
            "device": device,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "load": round(os.getloadavg()[0], 1),  # others at work make the seconds longer
            "rows": results,
        }
    )
