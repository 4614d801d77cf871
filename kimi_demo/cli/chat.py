"""`chat TURN... -o DIR`: a conversation, each turn a sound file or a text."""

from __future__ import annotations

import argparse
from pathlib import Path

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.cli.common import (
    add_engine_arguments,
    add_json_argument,
    figures,
    opened_engine,
    print_json,
    rounded,
)
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.base import Engine
from kimi_demo.engine.tasks import check
from kimi_demo.errors import InputError
from kimi_demo.events import Answer, collect
from kimi_demo.intents import Chat
from kimi_demo.voice_activity import without_silence

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    turn = "what to say next: a wav, flac, ogg, opus or mp3 file, or a text"
    parser.add_argument("turns", nargs="+", metavar="TURN", help=turn)
    where = "the folder for the spoken answers, 1.wav and so on"
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help=where)
    parser.add_argument("--text-only", action="store_true", help="answer in writing, without sound")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same answers")
    add_engine_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Answers turn after turn; all of them are checked before the first is answered.

    Raises: InputError if a turn or the folder cannot be used.
    """
    asked = [_asked(turn) for turn in args.turns]
    conversation = Conversation()
    with opened_engine(args) as engine:
        for question in asked:
            check(Chat.about(question), engine.capabilities)
        _prepare(args.out)
        for number, question in enumerate(asked, 1):
            turn, answer = _answered(engine, conversation, question, args)
            wav = _written(args.out / f"{number}.wav", turn.spoken)
            conversation = conversation.with_turn(turn)
            _report(engine, args.turns[number - 1], answer, wav, args)
    return 0


def _asked(turn: str) -> str | Audio:
    """A file's sound if the turn names one, else the text itself."""
    if turn.lower().endswith(SOUND_SUFFIXES) or _is_file(turn):
        return without_silence(audio.read(turn, sample_rate=INPUT_SAMPLE_RATE))
    return turn


def _is_file(turn: str) -> bool:
    try:
        return Path(turn).is_file()
    except (OSError, ValueError):  # no name that a file could have
        return False


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"{folder} is no folder that can be written to: choose another") from exc


def _answered(
    engine: Engine, conversation: Conversation, asked: str | Audio, args: argparse.Namespace
) -> tuple[ChatTurn, Answer]:
    intent = conversation.intent(asked, args.seed, "text" if args.text_only else "both")
    events = list(engine.stream(intent))
    return ChatTurn.of(asked, args.seed, events), collect(events)


def _written(path: Path, sound: Audio | None) -> str | None:
    if sound is None:
        return None
    try:
        path.write_bytes(sound.wav())
    except OSError as exc:
        raise InputError(f"{path} cannot be written: choose another folder") from exc
    return str(path)


def _report(
    engine: Engine, asked: str, answer: Answer, wav: str | None, args: argparse.Namespace
) -> None:
    if not args.json:
        if answer.heard:
            print(f"you (heard): {answer.heard}", flush=True)
        print(f"{wav}: {answer.text}" if wav else answer.text, flush=True)
        return
    timings = answer.finished.timings
    print_json(
        {
            "text": answer.text,
            "wav": wav,
            "asked": asked,
            "heard": answer.heard or None,
            "audio_s": rounded(timings.audio_s),
            "ttft_s": rounded(timings.first_text_s),
            "ttfa_s": rounded(timings.first_audio_s),
            "rtf": rounded(timings.rtf),
            **figures(answer),
            "finish_reason": answer.finished.reason,
            "seed": args.seed,
            "model": engine.capabilities.model,
            "device": engine.capabilities.device,
        }
    )
