"""`python -m kimi_demo bench`: measures speed and memory and prints one JSON object.

Seconds are wall-clock time. Of what is measured several times there are median, min and max.
"""

from __future__ import annotations

import argparse

from kimi_demo.cli.common import print_json
from kimi_demo.settings import add_model_arguments, model_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `bench`."""
    add_model_arguments(parser)
    sizes = "random weights of the released size instead of a model, or of a tiny one: no files"
    parser.add_argument("--random", choices=("released", "tiny"), default="", help=sizes)
    parser.add_argument("--repeat", type=count, default=3, help="measure so many times")
    length = "of speech by random weights, and of steps by the language model alone (default: 10)"
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help=length)
    error = "also tell what --quantize changes in the scores of the next ids"
    parser.add_argument("--compare", action="store_true", help=error)
    parser.add_argument("--seed", type=int, default=0, help="of ids, speech and random weights")
    live = "instead: how soon a live conversation of so many spoken turns is answered"
    parser.add_argument("--realtime", type=count, metavar="TURNS", help=live)
    silence = "with --realtime: of silence that end a turn"
    parser.add_argument("--silence-ms", type=int, default=500, metavar="MS", help=silence)


def run(args: argparse.Namespace) -> int:
    """Measures and prints.

    Raises: InputError or CheckpointError if that cannot be done as asked.
    """
    from kimi_demo.cli.bench.report import Wish, measure  # torch

    options = model_options(args)
    if args.realtime:
        from kimi_demo.cli.bench import realtime  # torch, and a server

        print_json(realtime.measure(options, args.realtime, args.silence_ms))
        return 0
    wish = Wish(options, args.random, args.repeat, args.seconds, args.compare, args.seed)
    print_json(measure(wish))
    return 0


def count(text: str) -> int:
    """A type of argument: how often."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)
