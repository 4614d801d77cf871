"""Remembers how the last sounds were heard, so that a conversation's history and further questions
about one sound need no second encoding.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from kimi_demo.audio import Audio
from kimi_demo.model.prompt import Heard, Listener

MAX_SOUNDS = 32
MAX_BYTES = 256 * 2**20  # on the model's device: about half an hour of sound for the 7B model
_BYTES_PER_CODE = 8


class RememberingListener:
    """Asks `listener` only about sounds that are not among the last ones; forgets the one that was
    not needed for longest. Thread-safe: one sound is heard at a time.

    max_sounds, max_bytes: what is kept at most; a sound that alone is larger is not kept.
    """

    def __init__(
        self, listener: Listener, max_sounds: int = MAX_SOUNDS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._listener = listener
        self._max_sounds = max_sounds
        self._max_bytes = max_bytes
        self._heard: OrderedDict[bytes, Heard] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, audio: Audio) -> Heard:
        """Both encodings of the sound; see `Listener`."""
        key = _digest(audio)
        with self._lock:
            return self._remembered(key, audio)

    def _remembered(self, key: bytes, audio: Audio) -> Heard:
        if key in self._heard:
            self._heard.move_to_end(key)
            return self._heard[key]
        heard = self._listener(audio)
        self._keep(key, heard)
        return heard

    def _keep(self, key: bytes, heard: Heard) -> None:
        if _size(heard) > self._max_bytes:
            return
        self._heard[key] = heard
        self._bytes += _size(heard)
        while len(self._heard) > self._max_sounds or self._bytes > self._max_bytes:
            _, forgotten = self._heard.popitem(last=False)
            self._bytes -= _size(forgotten)


def _digest(audio: Audio) -> bytes:
    digest = hashlib.blake2b(f"{audio.sample_rate} {audio.waveform.dtype} ".encode())
    digest.update(audio.waveform.tobytes())
    return digest.digest()


def _size(heard: Heard) -> int:
    return heard.features.nbytes + len(heard.codes) * _BYTES_PER_CODE
