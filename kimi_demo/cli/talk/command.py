"""`talk`: a live conversation with microphone and loudspeaker, or with sound files."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE
from kimi_demo.cli.common import (
    add_engine_arguments,
    add_json_argument,
    opened_engine,
    print_json,
    rounded,
    write_file,
)
from kimi_demo.cli.talk.client import Talk, TurnTimes
from kimi_demo.cli.talk.devices import Devices, RecordedMicrophone, RecordingLoudspeaker
from kimi_demo.settings import remote_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `talk`."""
    files = "recordings in place of a microphone; each waits for the answer to the one before"
    parser.add_argument("--file", type=Path, nargs="+", default=[], metavar="WAV", help=files)
    out = "with --file: what is heard of the answers, as one WAV"
    parser.add_argument("-o", "--out", type=Path, metavar="WAV", help=out)
    parser.add_argument("--instructions", default="", help="how to answer")
    silence = "of silence that end a turn"
    parser.add_argument("--silence-ms", type=int, default=500, metavar="MS", help=silence)
    add_engine_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Talks until interrupted, or until all files were answered.

    Raises: InputError if a file, or a sound device, cannot be used; EngineError.
    """
    recordings = [audio.read(path, sample_rate=INPUT_SAMPLE_RATE) for path in args.file]
    with _server(args) as (url, key):
        return asyncio.run(_talk(args, recordings, url, key))


async def _talk(args: argparse.Namespace, recordings: list[audio.Audio], url: str, key: str) -> int:
    session = session_for(args.silence_ms, args.instructions)
    if not recordings:
        devices = Devices()
        print("Talk; press Ctrl+C to end. Headphones keep it from hearing itself.", flush=True)
        await Talk(devices, devices, _shown).run(url, key, session)
        return 0
    microphone, speaker = RecordedMicrophone(recordings), RecordingLoudspeaker()
    talk = Talk(microphone, speaker, idle=lambda idle: _set(microphone.idle, idle))
    await talk.run(url, key, session)
    if args.out:
        write_file(args.out, speaker.audio().wav())
    for turn in talk.turns:
        _report(turn, args.json)
    return 0


def session_for(silence_ms: int, instructions: str = "") -> dict[str, Any]:
    """What a session is set to: turns end by themselves, and what was heard is told."""
    turns = {"type": "server_vad", "silence_duration_ms": silence_ms}
    heard = {"transcription": {"model": "whisper-1"}, "turn_detection": turns}
    return {"type": "realtime", "instructions": instructions, "audio": {"input": heard}}


def _set(event: asyncio.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()


@contextmanager
def _server(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Address and key of a server: the one that was named, or our own for this conversation."""
    remote = remote_options(args)
    if remote is not None:
        yield socket_url(remote.base_url), remote.api_key
        return
    from kimi_demo.api.service import Service  # a server: only where it is needed
    from kimi_demo.api.serving import serving

    with opened_engine(args) as engine, serving(Service(engine)) as url:
        yield socket_url(f"{url}/v1"), ""


def socket_url(base_url: str) -> str:
    """http://host/v1 -> ws://host/v1/realtime"""
    return "ws" + base_url.rstrip("/").removeprefix("http") + "/realtime"


def _shown(who: str, text: str) -> None:
    if text.strip():
        print(f"{who}: {text}", flush=True, file=sys.stderr if who == "error" else sys.stdout)


def _report(turn: TurnTimes, as_json: bool) -> None:
    values: dict[str, Any] = {
        k: rounded(v) if isinstance(v, float) else v for k, v in asdict(turn).items()
    }
    if as_json:
        print_json(values)
        return
    _shown("you", turn.heard)
    _shown("it", turn.said + (" (interrupted)" if turn.cut else ""))
    _shown("first sound", f"{values['first_sound_s']} s after your last word")
