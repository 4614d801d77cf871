"""`transcribe FILE...`: speech to text."""

from __future__ import annotations

import argparse

from kimi_demo import audio
from kimi_demo.cli.common import (
    add_engine_arguments,
    add_json_argument,
    figures,
    opened_engine,
    print_json,
    refuse,
    rounded,
)
from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.events import collect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `transcribe`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="wav, flac, ogg, opus or mp3")
    parser.add_argument("--language", choices=("en", "zh"), default="", help="if it is known")
    add_engine_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Transcribes every file; one that cannot be used is named and the others go on.

    Raises: InputError if the only file cannot be used.
    """
    refused = 0
    with opened_engine(args) as engine:
        for path in args.files:
            try:
                _transcribe(engine, path, args)
            except InputError as exc:
                if len(args.files) == 1:
                    raise
                refused += 1
                refuse(path, exc)
    return 2 if refused else 0


def _transcribe(engine: Engine, path: str, args: argparse.Namespace) -> None:
    sound = audio.read(path)
    request = engine.capabilities.tasks.transcription(sound, args.language)
    answer = collect(engine.stream(request))
    timings = answer.finished.timings
    if args.json:
        print_json(
            {
                "text": answer.text,
                "file": path,
                "audio_s": rounded(sound.duration_s),
                "ttft_s": rounded(timings.first_text_s),
                "ttfa_s": None,
                "rtf": rounded(timings.total_s / sound.duration_s),
                **figures(answer),
                "finish_reason": answer.finished.reason,
                "model": engine.capabilities.model,
                "device": engine.capabilities.device,
            }
        )
    else:
        label = f"{path}: " if len(args.files) > 1 else ""
        print(f"{label}{answer.text}", flush=True)
