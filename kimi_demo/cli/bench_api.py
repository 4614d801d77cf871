"""`python -m kimi_demo bench-api`: serves the API on this machine, calls it, and prints one JSON
object of seconds: when the first and the last byte came, and when the model made its last token.
"""

from __future__ import annotations

import argparse

from kimi_demo.cli.bench.command import count
from kimi_demo.cli.common import add_engine_arguments, opened_engine, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_engine_arguments(parser)
    parser.add_argument("--repeat", type=count, default=3, help="measure so many times")
    parser.add_argument("--text", default="", help="what is spoken; else a usual sentence")
    parser.add_argument("--question", default="", help="what is answered")
    parser.add_argument("--seed", type=int, default=0, help="of speech and answers")


def run(args: argparse.Namespace) -> int:
    """Measures and prints.

    Raises: CheckpointError if the model cannot be loaded.
    """
    from kimi_demo.api.bench import QUESTION, TEXT, Calls, measure  # a server: only when it is used

    calls = Calls(args.text or TEXT, args.question or QUESTION, args.repeat, args.seed)
    with opened_engine(args) as engine:
        print_json(measure(engine, calls))
    return 0
