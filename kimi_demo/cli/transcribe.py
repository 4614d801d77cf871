"""`transcribe FILE...`: speech to text, as a line, subtitles or JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE
from kimi_demo.cli.common import (
    add_engine_arguments,
    add_json_argument,
    opened_engine,
    print_json,
    refuse,
    rounded,
    token_counts,
    write_file,
)
from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.events import Finished, Transcript
from kimi_demo.intents import Transcribe
from kimi_demo.subtitles import FORMATS, facts
from kimi_demo.text.languages import DETECT
from kimi_demo.transcripts import transcript_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="any common sound or video file")
    parser.add_argument(
        "--language", choices=(DETECT, "en", "zh"), default=DETECT, help="if it is known"
    )
    wording = "a published instruction, as in measurements: librispeech, aishell ..."
    parser.add_argument("--wording", default="", metavar="NAME", help=wording)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--format", choices=tuple(FORMATS), help="a file of this kind, with times")
    add_json_argument(shape)
    where = "a folder for FILE.FORMAT; without it everything is printed"
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help=where)
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Transcribes every file; one that cannot be used is named and the others go on.

    Raises: InputError if the only file cannot be used, or for options that do not fit together.
    """
    if args.out and not args.format:
        raise InputError("say with --format what to write into the folder")
    if args.format and not args.out and len(args.files) > 1:
        raise InputError("several files in this format need a folder: give one with -o")
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
    sound = audio.read(path, sample_rate=INPUT_SAMPLE_RATE)
    intent = Transcribe(sound, args.language, args.wording)
    transcript, finished = transcript_of(engine.stream(intent))
    if args.json:
        print_json(_result(engine, path, sound.duration_s, transcript, finished))
    elif args.out:
        written = args.out / f"{Path(path).stem}.{args.format}"
        write_file(written, FORMATS[args.format](transcript).encode())
        print(f"{path}: {written}", flush=True)
    elif args.format:
        print(FORMATS[args.format](transcript), end="", flush=True)
    else:
        label = f"{path}: " if len(args.files) > 1 else ""
        print(f"{label}{transcript.text}", flush=True)


def _result(
    engine: Engine, path: str, audio_s: float, transcript: Transcript, finished: Finished
) -> dict[str, object]:
    timings = finished.timings
    return {
        **facts(transcript),
        "file": path,
        "audio_s": rounded(audio_s),
        "ttft_s": rounded(timings.first_text_s),
        "ttfa_s": None,
        "rtf": rounded(timings.total_s / audio_s),
        **token_counts(finished),
        "finish_reason": finished.reason,
        "model": engine.capabilities.model,
        "device": engine.capabilities.device,
    }
