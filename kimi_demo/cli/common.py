"""What the commands share: the choice of an engine, and how results and refusals are printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kimi_demo.engine.base import Engine
from kimi_demo.engine.open import open_engine
from kimi_demo.errors import InputError
from kimi_demo.events import Answer, Finished
from kimi_demo.settings import (
    add_model_arguments,
    add_remote_arguments,
    model_options,
    remote_options,
)


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint answers, and where: what `opened_engine` reads."""
    add_model_arguments(parser)
    add_remote_arguments(parser)


def add_json_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object a result")


@contextmanager
def opened_engine(args: argparse.Namespace) -> Iterator[Engine]:
    """The engine that the arguments name; closed at the end."""
    engine = open_engine(model_options(args), remote_options(args))
    try:
        yield engine
    finally:
        engine.close()


def figures(answer: Answer) -> dict[str, int]:
    return token_counts(answer.finished)


def token_counts(finished: Finished) -> dict[str, int]:
    return {
        "prompt_tokens": finished.prompt_tokens,
        "text_tokens": finished.text_tokens,
        "audio_tokens": finished.audio_tokens,
    }


def print_json(result: dict[str, object]) -> None:
    """One object on a line of its own, at once, so that a pipe sees it."""
    print(json.dumps(result, ensure_ascii=False), flush=True)


def write_file(path: Path, contents: bytes) -> None:
    """Writes one result, with the folders that it needs.

    Raises: InputError if the place cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    except OSError as exc:
        raise InputError(f"{path} cannot be written: choose another place") from exc


def refuse(what: str, exc: InputError) -> None:
    """Says which of several inputs cannot be used; the others go on."""
    print(f"error: {what}: {exc}", file=sys.stderr)


def rounded(seconds: float | None) -> float | None:
    """Milliseconds are enough for people and programs."""
    return None if seconds is None else round(seconds, 3)
