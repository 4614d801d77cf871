"""`describe FILE --task ...`: what can be heard, open or closed questions about it."""

from __future__ import annotations

import argparse
import re

from kimi_demo import audio
from kimi_demo.cli.common import (
    add_engine_arguments,
    add_json_argument,
    figures,
    opened_engine,
    print_json,
    rounded,
)
from kimi_demo.errors import InputError
from kimi_demo.events import Answer, collect
from kimi_demo.intents import Ask, Caption, Choose
from kimi_demo.tasks import TaskTable

CAPTION, ASK = "caption", "ask"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="wav, flac, ogg, opus or mp3")
    parser.add_argument(
        "--task",
        default=CAPTION,
        help="caption, ask, or a closed question of the checkpoint: emotion, sound, scene ...",
    )
    parser.add_argument("--question", default="", help="what to ask; own wording for a closed one")
    parser.add_argument(
        "--options", default="", metavar="A,B,...", help="own options to choose from"
    )
    parser.add_argument("--language", choices=("en", "zh"), default="", help="of a caption")
    add_engine_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Answers once.

    Raises: InputError if the file, the task or its options cannot be used.
    """
    sound = audio.read(args.file, sample_rate=audio.INPUT_SAMPLE_RATE)
    with opened_engine(args) as engine:
        answer = collect(engine.stream(_intent(engine.capabilities.tasks, sound, args)))
        chances = _chances(answer)
        if args.json:
            timings = answer.finished.timings
            print_json(
                {
                    "task": args.task,
                    "text": answer.text,
                    "options": chances,
                    "file": args.file,
                    "audio_s": rounded(sound.duration_s),
                    "ttft_s": rounded(timings.first_text_s),
                    "rtf": rounded(timings.total_s / sound.duration_s),
                    **figures(answer),
                    "finish_reason": answer.finished.reason,
                    "model": engine.capabilities.model,
                    "device": engine.capabilities.device,
                }
            )
        else:
            print(answer.text)
            for label, chance in sorted(chances.items(), key=lambda pair: -pair[1]):
                print(f"{100 * chance:5.1f} %  {label}")
    return 0


def _intent(
    tasks: TaskTable, sound: audio.Audio, args: argparse.Namespace
) -> Caption | Ask | Choose:
    options = [option for option in re.split("[,，]", args.options) if option.strip()]
    if args.task in (CAPTION, ASK) and options:
        raise InputError("--options belong to a closed question: add --task emotion, for example")
    if args.task == CAPTION:
        if args.question:
            raise InputError("--question needs --task ask, or the name of a closed question")
        return Caption(sound, args.language)
    if args.task == ASK:
        if not args.question:
            raise InputError("--task ask needs a --question")
        return Ask.about(sound, args.question)
    if args.task not in tasks.choices:
        known = ", ".join((CAPTION, ASK, *tasks.choices))
        raise InputError(f"there is no task {args.task!r}: choose one of {known}")
    return Choose.about(sound, args.task, tuple(options), args.question)


def _chances(answer: Answer) -> dict[str, float]:
    """Option -> probability, in the order of the options; empty for an open question, and where a
    server does not tell them.
    """
    found = zip(answer.options, answer.probabilities, strict=True)
    return {option: round(chance, 4) for option, chance in found}
