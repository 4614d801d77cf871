"""Counts what the jobs of an engine do, whoever wants them: page, API or a program."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from kimi_demo.events import AudioDelta, Event, Finished, Queued, Stepped, Stopwatch
from kimi_demo.intents import NAMES, Intent, heard_s
from kimi_demo.metrics import Metrics


class JobMetrics:
    def __init__(self, intent: Intent, metrics: Metrics, watch: Stopwatch) -> None:
        self._intent = intent
        self._metrics = metrics
        self._watch = watch
        self._arrived = time.monotonic()
        self._waits = self._served = self._wrote = self._spoke = False
        self._playback = _Playback()

    @contextmanager
    def counted(self) -> Generator[JobMetrics]:
        """Counts how the job ends: finished, cancelled or failed."""
        outcome = "finished"
        try:
            yield self
        except GeneratorExit:
            outcome = "cancelled"
            raise
        except Exception as exc:
            outcome = "failed"
            self._metrics.errors.labels(type(exc).__name__).inc()
            raise
        finally:
            self._metrics.requests.labels(NAMES[type(self._intent)], outcome).inc()
            self._close()

    def take(self, event: Event) -> None:
        """Counts one event, which the stopwatch has seen."""
        match event:
            case Queued(ahead) if ahead:
                self._wait()
                return
            case Stepped():
                self._metrics.decode_steps.inc()
            case AudioDelta():
                self._hear(event)
            case Finished() if event.timings.rtf is not None:
                self._metrics.rtf.observe(event.timings.rtf)
            case _:
                pass
        self._serve()
        self._count_firsts()

    def _close(self) -> None:
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
        self._served = True
        self._metrics.active_streams.inc()
        self._metrics.queue_wait_s.observe(time.monotonic() - self._arrived)
        self._metrics.audio_s.labels("in").inc(heard_s(self._intent))
        if self._waits:
            self._waits = False
            self._metrics.queue_depth.dec()

    def _count_firsts(self) -> None:
        if self._watch.first_text_s is not None and not self._wrote:
            self._wrote = True
            self._metrics.first_text_s.observe(self._watch.first_text_s)
        if self._watch.first_audio_s is not None and not self._spoke:
            self._spoke = True
            self._metrics.first_audio_s.observe(self._watch.first_audio_s)

    def _hear(self, sound: AudioDelta) -> None:
        now, seconds = time.monotonic(), len(sound.waveform) / sound.sample_rate
        if self._playback.runs_dry(now, seconds):
            self._metrics.underruns.inc()
        self._metrics.audio_s.labels("out").inc(seconds)


class _Playback:
    """Somebody who listens from the first sound on, without a cushion."""

    def __init__(self) -> None:
        self._silent_from: float | None = None

    def runs_dry(self, now: float, seconds: float) -> bool:
        """Takes a sound that comes now; whether the one before had ended."""
        late = self._silent_from is not None and now > self._silent_from
        begins = now if self._silent_from is None or late else self._silent_from
        self._silent_from = begins + seconds
        return late
