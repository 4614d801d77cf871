"""Detokenizes beside the language model: codes go in while they are generated, sound comes out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import numpy as np

from kimi_demo.model.detokenizer.mel_stream import NoiseSource
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer


class SpeechWorker:
    """One utterance on a thread of its own. close() ends it at once; errors surface in `pieces`."""

    def __init__(self, detokenizer: StreamingDetokenizer, noise: int | NoiseSource) -> None:
        self._detokenizer = detokenizer
        self._noise = noise
        self._codes: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._pieces: queue.SimpleQueue[np.ndarray | BaseException | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="detokenizer", daemon=True)
        self._thread.start()

    def push(self, code: int) -> None:
        """Hands one semantic code over; returns at once."""
        self._codes.put(code)

    def finish(self) -> None:
        """No more codes will come."""
        self._codes.put(None)

    def pieces(self, wait: bool) -> Iterator[np.ndarray]:
        """Sound that is ready, (T,) float32; with `wait`, all that is still to come.

        Raises: whatever went wrong on the thread.
        """
        while not self._ended:
            try:
                piece = self._pieces.get(block=wait)
            except queue.Empty:
                return
            if isinstance(piece, BaseException):
                self._ended = True
                raise piece
            if piece is None:
                self._ended = True
                return
            yield piece

    def close(self) -> None:
        """Stops after the chunk in work and waits for it; unplayed sound is lost."""
        self._cancelled.set()
        self._codes.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._detokenizer.open(self._noise) as stream:
                while (code := self._codes.get()) is not None and not self._cancelled.is_set():
                    self._emit(stream.push([code]))
                if not self._cancelled.is_set():
                    self._emit(stream.flush())
            self._pieces.put(None)
        except BaseException as exc:
            self._pieces.put(exc)

    def _emit(self, pieces: list[np.ndarray]) -> None:
        for piece in pieces:
            if len(piece):
                self._pieces.put(piece)
