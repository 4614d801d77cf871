"""Counts what an engine does, whoever asks: page, API or a program."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.events import AudioDelta, Event, Finished, Queued, Stepped, TextDelta
from kimi_demo.messages import AudioPart, Request
from kimi_demo.metrics import Metrics


class MeasuredEngine:
    """The same engine, watched."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yields the answer's events; see `Engine.stream`."""
        with (
            _counted(request, self._metrics),
            closing(_Watch(request, self._metrics)) as watch,
            closing(self._engine.stream(request)) as events,
        ):
            for event in events:
                watch.take(event)
                yield event

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()


@contextmanager
def _counted(request: Request, metrics: Metrics) -> Iterator[None]:
    """Counts how the request ended."""
    outcome = "finished"
    try:
        yield
    except GeneratorExit:
        outcome = "cancelled"
        raise
    except Exception as exc:
        outcome = "failed"
        metrics.errors.labels(type(exc).__name__).inc()
        raise
    finally:
        metrics.requests.labels(request.task, outcome).inc()


class _Watch:
    """One request's way through line and slot; close() leaves whichever it is in."""

    def __init__(self, request: Request, metrics: Metrics) -> None:
        self._metrics = metrics
        self._arrived = time.monotonic()
        self._waits = self._served = False
        self._turn = self._arrived
        self._wrote = False
        self._playback = _Playback()
        parts = (part for message in request.messages for part in message.parts)
        heard = sum(part.audio.duration_s for part in parts if isinstance(part, AudioPart))
        self._heard_s = heard

    def take(self, event: Event) -> None:
        """Counts one event."""
        match event:
            case Queued(ahead) if ahead:
                self._wait()
                return
            case Stepped():
                self._metrics.decode_steps.inc()
            case TextDelta() if not self._wrote:
                self._wrote = True
                self._metrics.first_text_s.observe(time.monotonic() - self._turn)
            case AudioDelta():
                self._hear(event)
            case Finished() if event.timings.rtf is not None:
                self._metrics.rtf.observe(event.timings.rtf)
        self._serve()

    def close(self) -> None:
        """The request is over."""
        if self._waits:
            self._metrics.queue_depth.dec()
        if self._served:
            self._metrics.active_streams.dec()

    def _wait(self) -> None:
        if not self._waits and not self._served:  # a server may let its own callers wait later
            self._waits = True
            self._metrics.queue_depth.inc()

    def _serve(self) -> None:
        """The first event that is not about waiting."""
        if self._served:
            return
        self._served, self._turn = True, time.monotonic()
        self._metrics.active_streams.inc()
        self._metrics.queue_wait_s.observe(self._turn - self._arrived)
        self._metrics.audio_s.labels("in").inc(self._heard_s)
        if self._waits:
            self._waits = False
            self._metrics.queue_depth.dec()

    def _hear(self, sound: AudioDelta) -> None:
        now, seconds = time.monotonic(), len(sound.waveform) / sound.sample_rate
        if not self._playback.started:
            self._metrics.first_audio_s.observe(now - self._turn)
        if self._playback.runs_dry(now, seconds):
            self._metrics.underruns.inc()
        self._metrics.audio_s.labels("out").inc(seconds)


class _Playback:
    """Somebody who listens from the first sound on, without a cushion."""

    def __init__(self) -> None:
        self._silent_from: float | None = None

    @property
    def started(self) -> bool:
        return self._silent_from is not None

    def runs_dry(self, now: float, seconds: float) -> bool:
        """Takes a sound that comes now; whether the one before had ended."""
        late = self._silent_from is not None and now > self._silent_from
        begins = now if self._silent_from is None or late else self._silent_from
        self._silent_from = begins + seconds
        return late
