"""Turns the codes of several answers into sound: whoever would fall silent first comes first.

A code costs the language model far less time than the sound that it stands for costs the
detokenizer, so this decides when everybody is heard. Each chunk is one piece of work; a worker
takes the most urgent one that is complete, and others of its shape ride along where that is
cheaper.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from kimi_demo.model.detokenizer.mel_stream import NoiseSource
from kimi_demo.model.detokenizer.streaming import (
    ChunkShape,
    StreamingDetokenizer,
    sound_together,
)

# Takes each piece (S,) float32 as it is made; at last None, or what went wrong.
Delivery = Callable[[np.ndarray | BaseException | None], None]


class Voices:
    """The workers, and the voices that are open. Thread-safe."""

    def __init__(
        self, detokenizer: StreamingDetokenizer, workers: int = 1, together: int = 1
    ) -> None:
        """together: chunks that are computed in one call. A GPU has room for many; a CPU computes
        one after the other as fast, and two workers side by side.
        """
        self._detokenizer = detokenizer
        self._together = together
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
        while voices := self._next():
            failure = _speak([voice for voice in voices if voice.has_work])
            with self._changed:
                over = [voice for voice in voices if failure or voice.is_over]
                for voice in voices:
                    voice.in_work = False
                for voice in over:
                    self._open.remove(voice)
                self._changed.notify_all()
            for voice in over:
                voice.end(failure)

    def _next(self) -> list[Voice]:
        """The most urgent voice with something to do, once there is any, and who goes with it;
        nobody at the end.
        """
        with self._changed:
            while not self._closed:
                ready = [voice for voice in self._open if voice.is_ready]
                if ready:
                    ready.sort(key=lambda voice: voice.silent_from)
                    chosen = [v for v in ready if v.shape == ready[0].shape][: self._together]
                    for voice in chosen:
                        voice.in_work = True
                    return chosen
                self._changed.wait()
            return []


class Voice:
    """One answer's sound. All of it returns at once."""

    def __init__(
        self,
        voices: Voices,
        detokenizer: StreamingDetokenizer,
        noise: int | NoiseSource,
        deliver: Delivery,
    ) -> None:
        self._voices = voices
        self.stream = detokenizer.open(noise)
        self._sample_rate = detokenizer.sample_rate_hz
        self._deliver = deliver
        self._opened = time.monotonic()
        self._heard_from: float | None = None
        self._seconds = 0.0
        self._finished = False
        self.cancelled = self.in_work = False

    def push(self, code: int) -> None:
        """One semantic code more."""
        self._voices.notify(lambda: self.stream.add([code]))

    def finish(self) -> None:
        """No code will come any more."""
        self._voices.notify(self._finish)

    def cancel(self) -> None:
        """Nobody listens any more: nothing is delivered from now on."""
        self._voices.notify(self._cancel)

    @property
    def is_ready(self) -> bool:
        """Whether a worker has something to do here."""
        return not self.in_work and (self.has_work or self.is_over)

    @property
    def has_work(self) -> bool:
        """Whether there is a chunk to compute."""
        return self.stream.has_work and not self.cancelled

    @property
    def shape(self) -> ChunkShape | None:
        """Of the next chunk; None if the voice has only to be ended."""
        return self.stream.shape if self.has_work else None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do; to be asked where codes cannot come meanwhile."""
        return self.cancelled or (self._finished and not self.stream.has_work)

    @property
    def silent_from(self) -> float:
        """When a listener has heard all there is. Whoever has no sound yet comes before everybody,
        in the order of arrival.
        """
        if self._heard_from is None:
            return self._opened - 1e9
        return self._heard_from + self._seconds

    def end(self, failure: BaseException | None) -> None:
        """Frees everything, and says that nothing more comes."""
        self.stream.close()
        if not self.cancelled:
            self._deliver(failure)

    def deliver(self, piece: np.ndarray) -> None:
        """Hands a piece of sound on, if anybody still listens."""
        if self.cancelled or not len(piece):
            return
        if self._heard_from is None:
            self._heard_from = time.monotonic()
        self._seconds += len(piece) / self._sample_rate
        self._deliver(piece)

    def _finish(self) -> None:
        self.stream.finish()
        self._finished = True

    def _cancel(self) -> None:
        self.cancelled = True


def _speak(voices: list[Voice]) -> BaseException | None:
    """Computes and delivers one chunk of each; returns what went wrong."""
    if not voices:
        return None
    try:
        pieces = sound_together(
            [voice.stream for voice in voices],
            lambda: not all(voice.cancelled for voice in voices),
        )
    except BaseException as exc:
        return exc
    for voice, piece in zip(voices, pieces, strict=True):
        voice.deliver(piece)
    return None
