"""Turns the codes of several answers into sound: whoever would fall silent first comes first.

A code costs the language model far less time than the sound that it stands for costs the
detokenizer, so this decides when everybody is heard. Each chunk is one piece of work; workers take
the most urgent one that is complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from kimi_demo.model.detokenizer.mel_stream import NoiseSource
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer

# Takes each piece (S,) float32 as it is made; at last None, or what went wrong.
Delivery = Callable[[np.ndarray | BaseException | None], None]


class Voices:
    """The workers, and the voices that are open. Thread-safe."""

    def __init__(self, detokenizer: StreamingDetokenizer, workers: int = 1) -> None:
        self._detokenizer = detokenizer
        self._changed = threading.Condition()
        self._open: list[Voice] = []
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"voices-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def open(self, noise: int | NoiseSource, deliver: Delivery) -> Voice:
        """A voice for one answer. deliver is called by a worker and must return at once."""
        voice = Voice(self, self._detokenizer, noise, deliver)
        with self._changed:
            self._open.append(voice)
        return voice

    def close(self) -> None:
        """Gives up what is in work and ends the workers."""
        with self._changed:
            self._closed = True
            for voice in self._open:
                voice.cancelled = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def notify(self, change: Callable[[], None]) -> None:
        """Makes a change to a voice, and lets the workers look again."""
        with self._changed:
            change()
            self._changed.notify_all()

    def _work(self) -> None:
        while voice := self._next():
            failure = voice.speak()
            with self._changed:
                voice.in_work = False
                is_over = failure is not None or voice.is_over
                if is_over:
                    self._open.remove(voice)
                self._changed.notify_all()
            if is_over:
                voice.end(failure)

    def _next(self) -> Voice | None:
        """The most urgent voice with something to do, once there is any; None at the end."""
        with self._changed:
            while not self._closed:
                ready = [voice for voice in self._open if voice.is_ready]
                if ready:
                    chosen = min(ready, key=lambda voice: voice.silent_from)
                    chosen.in_work = True
                    return chosen
                self._changed.wait()
            return None


class Voice:
    """One answer's sound. All but `speak` returns at once."""

    def __init__(
        self,
        voices: Voices,
        detokenizer: StreamingDetokenizer,
        noise: int | NoiseSource,
        deliver: Delivery,
    ) -> None:
        self._voices = voices
        self._stream = detokenizer.open(noise)
        self._sample_rate = detokenizer.sample_rate_hz
        self._deliver = deliver
        self._opened = time.monotonic()
        self._heard_from: float | None = None
        self._seconds = 0.0
        self._finished = False
        self.cancelled = self.in_work = False

    def push(self, code: int) -> None:
        """One semantic code more."""
        self._voices.notify(lambda: self._stream.add([code]))

    def finish(self) -> None:
        """No code will come any more."""
        self._voices.notify(self._finish)

    def cancel(self) -> None:
        """Nobody listens any more: nothing is delivered from now on."""
        self._voices.notify(self._cancel)

    @property
    def is_ready(self) -> bool:
        """Whether a worker has something to do here."""
        return not self.in_work and (self._stream.has_work or self.is_over)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do; to be asked where codes cannot come meanwhile."""
        return self.cancelled or (self._finished and not self._stream.has_work)

    @property
    def silent_from(self) -> float:
        """When a listener has heard all there is. Whoever has no sound yet comes before everybody,
        in the order of arrival.
        """
        if self._heard_from is None:
            return self._opened - 1e9
        return self._heard_from + self._seconds

    def speak(self) -> BaseException | None:
        """Computes and delivers one chunk, if there is any; returns what went wrong. For one worker
        at a time.
        """
        try:
            if self._stream.has_work and not self.cancelled:
                self._deliver_sound(self._stream.sound(lambda: not self.cancelled))
        except BaseException as exc:
            return exc
        return None

    def end(self, failure: BaseException | None) -> None:
        """Frees everything, and says that nothing more comes."""
        self._stream.close()
        if not self.cancelled:
            self._deliver(failure)

    def _deliver_sound(self, piece: np.ndarray) -> None:
        if self.cancelled or not len(piece):
            return
        if self._heard_from is None:
            self._heard_from = time.monotonic()
        self._seconds += len(piece) / self._sample_rate
        self._deliver(piece)

    def _finish(self) -> None:
        self._stream.finish()
        self._finished = True

    def _cancel(self) -> None:
        self.cancelled = True
