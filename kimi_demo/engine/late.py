"""An engine that loads on a thread of its own, so that the page is there before the model is."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from kimi_demo.checkpoint.about import Description
from kimi_demo.checkpoint.locate import EMBEDDED, EMBEDDED_FOLDER, check
from kimi_demo.engine import tasks
from kimi_demo.engine.base import CLOSED, Capabilities, Engine, Status
from kimi_demo.engine.turn import TurnRequest, TurnRunner
from kimi_demo.errors import EngineError, KimiError
from kimi_demo.events import Event, Queued
from kimi_demo.intents import Intent
from kimi_demo.options import ModelOptions
from kimi_demo.tasks import TaskTable

logger = logging.getLogger(__name__)
REPEAT_S = 0.05  # how soon somebody who waits can go away
SAMPLE_RATE_HZ = 24_000


class LateEngine(Engine):
    """The engine that `create` makes, once it is made. Until then jobs wait."""

    def __init__(self, capabilities: Capabilities, create: Callable[[], TurnRunner]) -> None:
        super().__init__(capabilities)
        self._create = create
        self._state = threading.Condition()
        self._status = Status("loading", "0 %")
        self._under_way = False
        self._engine: TurnRunner | None = None

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities if self._engine else super().capabilities

    @property
    def status(self) -> Status:
        return self._status

    def load(self) -> None:
        with self._state:
            if self._under_way:
                return
            self._under_way, self._status = True, Status("loading", "0 %")
        threading.Thread(target=self._load, name="loading", daemon=True).start()

    def _note(self, text: str) -> None:
        with self._state:
            if self._status.phase == "loading":
                self._status = Status("loading", text)

    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        return tasks.answer(intent, self.capabilities, self.run_turn)

    def run_turn(self, request: TurnRequest) -> Generator[Event, None, None]:
        """One turn of the model, when it is there; the first one asks for it, if nobody did.

        Raises: EngineError if it cannot be loaded.
        """
        if self._status.phase == "loading":
            self.load()
        while self._status.phase == "loading":
            with self._state:
                self._state.wait(REPEAT_S)
            yield Queued(0)
        if self._engine is None:
            raise EngineError(self._status.note)
        yield from self._engine.run_turn(request)

    def close(self) -> None:
        super().close()
        with self._state:
            engine, self._engine = self._engine, None
            self._status = Status("failed", CLOSED)
        if engine:
            engine.close()

    def _load(self) -> None:
        try:
            with _heard(self._note):
                engine = self._create()
        except Exception as exc:
            if not isinstance(exc, KimiError):
                logger.exception("the model cannot be loaded")
            with self._state:
                self._under_way = False
                self._status = Status("failed", str(exc) or type(exc).__name__)
                self._state.notify_all()
            return
        with self._state:
            if self._status.note == CLOSED:
                engine.close()
                return
            self._engine, self._status = engine, Status()
            self._state.notify_all()


@contextmanager
def _heard(note: Callable[[str], None]) -> Generator[None]:
    """What this thread logs meanwhile is its progress: plan, download, tenths of a large model."""
    own = threading.get_ident()

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == own:
                note(record.getMessage().splitlines()[0])

    package, listener = logging.getLogger("kimi_demo"), Notes(logging.INFO)
    package.addHandler(listener)
    try:
        yield
    finally:
        package.removeHandler(listener)


def late_engine(options: ModelOptions) -> LateEngine:
    """An engine of this process that is still to be loaded; nothing is read but descriptions.

    Raises: CheckpointError if there is no such checkpoint.
    """
    check(options.model, options.revision)

    def create() -> TurnRunner:
        from kimi_demo.engine.factory import create_engine

        return create_engine(options)

    return LateEngine(_described(options), create)


def _described(options: ModelOptions) -> Capabilities:
    """What is known without torch. Of a hub id nothing is asked: what is published is assumed."""
    folder = EMBEDDED_FOLDER if options.model == EMBEDDED else Path(options.model)
    about = Description.read(folder)
    device = options.device
    if device == "auto":
        device = "cuda" if shutil.which("nvidia-smi") else "cpu"
    return Capabilities(
        model=about.name,
        label=about.label,
        device=device,
        parameters=about.parameters,
        sample_rate=SAMPLE_RATE_HZ,
        languages=about.languages,
        tasks=TaskTable.load(folder / "tasks.json"),
        card=about.card,
        slots=options.slots,
    )
