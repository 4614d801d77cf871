"""The engine: everything above it (page, API, commands) knows only this."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from kimi_demo.engine.job import Job
from kimi_demo.engine.job_metrics import JobMetrics
from kimi_demo.engine.line import MAX_WAITING, Line, Place
from kimi_demo.errors import EngineError
from kimi_demo.events import Event, Stopwatch
from kimi_demo.intents import Intent
from kimi_demo.metrics import Metrics
from kimi_demo.tasks import TaskTable

CLOSED = "the engine is closed: start the app again"


@dataclass(frozen=True)
class Capabilities:
    """What an engine runs and can do, for status lines and limits.

    label: one honest sentence about the checkpoint, shown wherever it speaks.
    languages: that it speaks and understands, as codes.
    card: Markdown on what it can do, how well, and how it was made; empty if it brings none.
    slots: jobs that it serves at once.
    """

    model: str
    label: str
    device: str
    parameters: int
    sample_rate: int
    languages: tuple[str, ...] = ("en",)
    tasks: TaskTable = TaskTable()
    card: str = ""
    slots: int = 1


@dataclass(frozen=True)
class Status:
    """Whether an engine computes yet. note: what is being done, or why it failed."""

    phase: Literal["loading", "ready", "failed"] = "ready"
    note: str = ""


class Engine(ABC):
    """Serves intents as jobs, which stand in one line. Engines differ in `answer` alone.

    max_waiting: of the line. slots: jobs at once, where these are not those of the capabilities.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        max_waiting: int = MAX_WAITING,
        metrics: Metrics | None = None,
        slots: int | None = None,
    ) -> None:
        self._capabilities = capabilities
        self._slots = slots or capabilities.slots
        self._jobs: set[Job] = set()
        self._lock = threading.Lock()
        self._closed = False
        self.serve(max_waiting, metrics)

    def serve(self, max_waiting: int = MAX_WAITING, metrics: Metrics | None = None) -> None:
        """A new line, and who counts; before the first job."""
        self._line = Line(self._slots, max_waiting)
        self._metrics = metrics

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def status(self) -> Status:
        """Whether jobs are computed now; while an engine loads, they wait."""
        return Status()

    def load(self) -> None:  # noqa: B027 - most engines are loaded from the beginning
        """Begins to load, or tries again after a failure; for engines that load late."""

    @abstractmethod
    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        """The events of an intent as they are made, by the thread that reads them, in no line.

        An event comes with every decode step, or every 250 ms, so that close() on the generator,
        which cancels, waits no longer. It need not set times.
        Raises: InputError at once for what cannot be served; later, all kinds of KimiError.
        """

    def start(self, intent: Intent) -> Job:
        """A job that is made on a thread of its own, from now on in line.

        Raises: InputError at once for what cannot be served; EngineBusy if too many wait;
        EngineError if the engine is closed.
        """
        return self._begun(intent, self.answer(intent))

    def stream(self, intent: Intent) -> Generator[Event, None, None]:
        """`start`, when the first event is asked for, and its events; closing it cancels the job
        and waits until it holds nothing. Raises: InputError at once for what cannot be served.
        """
        return self._streamed(intent, self.answer(intent))

    def close(self) -> None:
        """Cancels all jobs and waits until they hold nothing; later ones raise EngineError."""
        with self._lock:
            self._closed = True
            jobs = tuple(self._jobs)
        for job in jobs:
            job.cancel(EngineError(CLOSED))
        for job in jobs:
            job.join()

    def _begun(self, intent: Intent, events: Generator[Event, None, None]) -> Job:
        with self._lock:
            if self._closed:
                raise EngineError(CLOSED)
            place = self._line.enter()
            job = Job(self._served(intent, events, place), self._jobs.discard)
            self._jobs.add(job)
        return job.begin()

    def _streamed(
        self, intent: Intent, events: Generator[Event, None, None]
    ) -> Generator[Event, None, None]:
        job = self._begun(intent, events)
        try:
            yield from job.events()
        finally:
            job.cancel()
            job.join()

    def _served(
        self, intent: Intent, events: Generator[Event, None, None], place: Place
    ) -> Generator[Event, None, None]:
        """What a job runs: its way through the line, then its events with their times."""
        watch = Stopwatch()
        meter = JobMetrics(intent, self._metrics or Metrics(), watch)
        try:
            with closing(events), meter.counted():
                for event in chain(place.wait(), events):
                    timed = watch.take(event)
                    meter.take(timed)
                    yield timed
        finally:
            place.leave()
