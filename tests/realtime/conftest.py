"""A server on a real socket over a scripted engine, what is left of a conversation there, and the
packages of the clients in JavaScript.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kimi_demo.api import Service
from kimi_demo.api.serving import serving
from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.engine.factory import create_engine
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import AudioDelta, Event, Finished, HeardDelta, Started, TextDelta
from kimi_demo.messages import Message, TextPart
from kimi_demo.metrics import Metrics
from kimi_demo.options import ModelOptions

NODE = Path(__file__).parent / "node"
PATIENCE_S = 30.0  # how long a busy machine may take for what is not timed
PIECE_CODES = 2
CODE_SAMPLES = 1920
LONG = 60  # codes; 4.8 s
HEARD = "what was heard"
SLOW, WHOLE = "slow", "whole"  # in the instructions: how long an answer takes


@dataclass(frozen=True)
class Site:
    """A running server. url: without /v1."""

    url: str
    service: Service

    def is_empty(self) -> bool:
        """Nobody talks, and nothing is computed for anybody."""
        metrics = self.service.metrics
        gauges = ("kimi_active_streams", "kimi_queue_depth")
        held = [self.service.rooms.taken, *(metrics.value(gauge) for gauge in gauges)]
        return not any(held) and not self.service.engine._jobs

    def check_is_empty(self) -> None:
        """It may take a moment."""
        wait_for(self.is_empty)


def wait_for(holds: Callable[[], Any]) -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)
    return found


@contextmanager
def site_of(engine: Engine, max_waiting: int = 32, **options: Any) -> Iterator[Site]:
    """The API over an engine; what is left in the end is an error."""
    metrics = Metrics()
    engine.serve(max_waiting, metrics)
    service = Service(engine, metrics, **options)
    with closing(service.answers), serving(service) as url:
        site = Site(url, service)
        yield site
        site.check_is_empty()


def words_of(message: Message) -> str:
    """All that is typed in it."""
    return " ".join(part.text for part in message.parts if isinstance(part, TextPart))


def script(turn: TurnRequest) -> Iterator[Event]:
    """The n-th answer has codes from 100 n on, and is short, or lasts 4.8 s: made as fast as it
    sounds (word "slow" in the instructions) or at once ("whole")."""
    if turn.output == "text":
        yield from (Started(20), TextDelta(HEARD), Finished("stop", 20, 3, 0))
        return
    number = sum(message.role == "user" for message in turn.messages)
    told = words_of(turn.messages[0])
    count = LONG if SLOW in told or WHOLE in told else 4
    codes = tuple(range(100 * number, 100 * number + count))
    yield from (Started(20), HeardDelta(HEARD), TextDelta(text_of(number, count)))
    for first in range(0, count, PIECE_CODES):
        if SLOW in told:
            time.sleep(PIECE_CODES * 0.08)
        piece = codes[first : first + PIECE_CODES]
        yield AudioDelta(np.full(len(piece) * CODE_SAMPLES, 0.2, np.float32), 24_000, piece)
    yield Finished("stop", 20, 5, count, audio_codes=codes)


def text_of(number: int, codes: int) -> str:
    """A word for each four codes."""
    return " ".join(f"word{number}{index:02}" for index in range(codes // 4))


def scripted(slots: int = 32) -> ScriptedEngine:
    return ScriptedEngine(script, Capabilities("scripted", "", "cpu", 1, 24_000, slots=slots))


@pytest.fixture
def site() -> Iterator[Site]:
    with closing(scripted()) as engine, site_of(engine) as running:
        yield running


@pytest.fixture(scope="session")
def nano() -> Iterator[Engine]:
    """The embedded checkpoint, on the CPU."""
    with closing(create_engine(ModelOptions(device="cpu"))) as engine:
        yield engine


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script that drives the clients in JavaScript, beside their packages.

    They are installed once for each state of the lock file.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js and npm are needed for the clients in JavaScript")
    if not _is_installed():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.fail(f"npm could not install the clients:\n{done.stdout}{done.stderr}")
    return NODE / "bridge.mjs"


def _is_installed() -> bool:
    """npm writes its own lock file when all is in place."""
    done = NODE / "node_modules" / ".package-lock.json"
    return done.exists() and done.stat().st_mtime > (NODE / "package-lock.json").stat().st_mtime
