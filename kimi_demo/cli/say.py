"""`say TEXT -o OUT.wav`, `say --file LINES.txt -o DIR`: text to speech."""

from __future__ import annotations

import argparse
from pathlib import Path

from kimi_demo.audio import Audio
from kimi_demo.cli.common import (
    add_engine_arguments,
    add_json_argument,
    figures,
    opened_engine,
    print_json,
    refuse,
    rounded,
    write_file,
)
from kimi_demo.encoding import SoundFormat, encoded
from kimi_demo.engine.base import Engine
from kimi_demo.engine.tasks.self_check import error_rate
from kimi_demo.errors import InputError
from kimi_demo.events import Answer, Checked, collect
from kimi_demo.intents import Speak
from kimi_demo.text.languages import DETECT

FORMATS: dict[str, SoundFormat] = {
    "wav": "wav",
    "mp3": "mp3",
    "flac": "flac",
    "ogg": "opus",
    "opus": "opus",
    "aac": "aac",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("text", nargs="?", help="what to say, of any length up to 5000 characters")
    source.add_argument("--file", type=Path, help="a text file; every line becomes N.wav in OUT")
    where = "a file, such as out.wav or out.mp3, or with --file a folder of WAV files"
    parser.add_argument("-o", "--out", type=Path, required=True, help=where)
    parser.add_argument("--language", choices=(DETECT, "en", "zh"), default=DETECT, help="of TEXT")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same sound")
    check = "listen to the speech, and speak once more what cannot be understood"
    parser.add_argument("--check", action="store_true", help=check)
    prompt = "another way to ask for speech: read, say"
    parser.add_argument("--prompt", default="", metavar="NAME", help=prompt)
    add_engine_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Speaks every text; a line that cannot be spoken is named and the others go on.

    Raises: InputError if the only text, the text file or the place to write to cannot be used.
    """
    jobs = _lines(args.file, args.out) if args.file else [(args.text, args.out)]
    for _, path in jobs:
        _format_of(path)  # before anything is computed
    refused = 0
    with opened_engine(args) as engine:
        for text, path in jobs:
            try:
                _say(engine, text, path, args)
            except InputError as exc:
                if not args.file:
                    raise
                refused += 1
                refuse(f"line {path.stem}", exc)
    return 2 if refused else 0


def _lines(source: Path, folder: Path) -> list[tuple[str, Path]]:
    """Each line that is not blank, and its file, named after the line's number."""
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{source.name} is no readable UTF-8 text: choose another file") from exc
    jobs = [(line, folder / f"{n}.wav") for n, line in enumerate(lines, 1) if line.strip()]
    if not jobs:
        raise InputError(f"{source.name} is empty: write one sentence on each line")
    return jobs


def _say(engine: Engine, text: str, path: Path, args: argparse.Namespace) -> None:
    intent = Speak(text, args.language, prompt=args.prompt, check=args.check, seed=args.seed)
    events = list(engine.stream(intent))
    answer, checks = collect(events), [event for event in events if isinstance(event, Checked)]
    if not answer.waveform.any():
        raise InputError("the model was silent: try another seed or other words")
    sound = Audio(answer.waveform, answer.sample_rate)
    write_file(path, encoded(sound, _format_of(path)))
    if args.json:
        print_json(_result(engine, text, path, answer, args.seed) | _check_facts(checks))
    else:
        print(_sentence(path, answer) + _check_words(checks), flush=True)


def _format_of(path: Path) -> SoundFormat:
    """What the file's name says; WAV if it says nothing. Raises: InputError for another one."""
    suffix = path.suffix.lower().removeprefix(".") or "wav"
    if suffix not in FORMATS:
        raise InputError(f"{path.name}: a file of speech ends in .{', .'.join(FORMATS)}")
    return FORMATS[suffix]


def _result(engine: Engine, text: str, path: Path, answer: Answer, seed: int) -> dict[str, object]:
    timings = answer.finished.timings
    return {
        "text": text,
        "file": str(path),
        "audio_s": rounded(timings.audio_s),
        "ttfa_s": rounded(timings.first_audio_s),
        "rtf": rounded(timings.rtf),
        **figures(answer),
        "finish_reason": answer.finished.reason,
        "seed": seed,
        "model": engine.capabilities.model,
        "device": engine.capabilities.device,
    }


def _sentence(path: Path, answer: Answer) -> str:
    timings = answer.finished.timings
    return (
        f"{path}: {timings.audio_s:.2f} s of sound, the first after {timings.first_audio_s:.2f} s, "
        f"real-time factor {timings.rtf:.2f}"
    )


def _check_facts(checks: list[Checked]) -> dict[str, object]:
    """For programs; nothing if nobody listened."""
    if not checks:
        return {}
    return {
        "error_rate": rounded(error_rate(checks)),
        "spoken_again": sum(check.tries > 1 for check in checks),
        "heard": " ".join(check.heard for check in checks),
    }


def _check_words(checks: list[Checked]) -> str:
    return f", {error_rate(checks):.0%} of it misheard" if checks else ""
