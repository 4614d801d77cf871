"""`python -m kimi_demo doctor`: says whether the app would start, and what is amiss if not."""

from __future__ import annotations

import argparse

from kimi_demo.cli.common import add_json_argument, print_json
from kimi_demo.settings import add_model_arguments, model_options

WOULD_NOT_START = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Prints what was found. Returns 0 only if the model would start."""
    from kimi_demo.cli.doctor.examination import examine  # torch

    healthy = True
    for finding in examine(model_options(args)):
        healthy &= finding.ok
        if args.json:
            told = {"topic": finding.topic, "text": finding.text, "ok": finding.ok}
            print_json({**told, **finding.figures})
        else:
            print(_line(finding.topic, finding.text, finding.ok), flush=True)
    if not args.json:
        print("it would start" if healthy else "it would not start: see NO above")
    return 0 if healthy else WOULD_NOT_START


def _line(topic: str, text: str, ok: bool) -> str:
    """A finding; what it says on several lines is indented under it."""
    mark = "ok" if ok else "NO"
    separator = "\n" if "\n" in text else " "
    body = "\n".join(f"      {line}" for line in text.splitlines()) if "\n" in text else text
    return f"{mark}  {topic}:{separator}{body}"
