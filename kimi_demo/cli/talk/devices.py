"""Microphones give blocks of PCM of 16 bits at 24 kHz; loudspeakers know what was really heard."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kimi_demo.audio import OUTPUT_SAMPLE_RATE, Audio, to_int16
from kimi_demo.errors import InputError

BLOCK_S = 0.04
BLOCK_SAMPLES = round(BLOCK_S * OUTPUT_SAMPLE_RATE)
SETTLED_S = 1.0  # of silence after an answer before the next recording begins
LONGEST_ANSWER_S = 60.0


class Loudspeaker(Protocol):
    """Plays an answer's pieces one after the other."""

    def play(self, item_id: str, samples: np.ndarray) -> None:
        """samples: (T,) int16."""

    def stop(self) -> tuple[str, int] | None:
        """Silence, at once: which item was in the middle, and how many ms of it were heard."""

    @property
    def busy(self) -> bool:
        """Whether anything sounds, or waits to."""
        ...


@dataclass
class _Piece:
    """Samples of an item on the timeline, from a sample on."""

    item_id: str
    start: int
    samples: np.ndarray


class RecordedMicrophone:
    """Plays recordings as somebody speaks, in real time; each waits until the answer to the one
    before was heard.
    """

    def __init__(self, recordings: Sequence[Audio]) -> None:
        self._recordings = [r.resampled(OUTPUT_SAMPLE_RATE).waveform for r in recordings]
        self.idle = asyncio.Event()  # set while nobody thinks or speaks

    async def blocks(self) -> AsyncGenerator[bytes]:
        """Ends with the answer to the last recording."""
        pace = _Pace()
        for waveform in self._recordings:
            self.idle.clear()
            for start in range(0, len(waveform), BLOCK_SAMPLES):
                await pace.block()
                yield _block(waveform[start : start + BLOCK_SAMPLES])
            async for silence in self._silence(pace):
                yield silence

    async def _silence(self, pace: _Pace) -> AsyncGenerator[bytes]:
        quiet_s = waited_s = 0.0
        while quiet_s < SETTLED_S and waited_s < LONGEST_ANSWER_S:
            await pace.block()
            waited_s += BLOCK_S
            quiet_s = quiet_s + BLOCK_S if self.idle.is_set() else 0.0
            yield _block(np.zeros(0, np.float32))


class _Pace:
    """Blocks in real time, however late one was."""

    def __init__(self) -> None:
        self._next_s = time.monotonic()

    async def block(self) -> None:
        self._next_s += BLOCK_S
        await asyncio.sleep(max(0.0, self._next_s - time.monotonic()))


def _block(waveform: np.ndarray) -> bytes:
    return to_int16(np.pad(waveform, (0, BLOCK_SAMPLES - len(waveform)))).tobytes()


class RecordingLoudspeaker:
    """Writes down what would be heard, when it would be heard."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._pieces: list[_Piece] = []

    def play(self, item_id: str, samples: np.ndarray) -> None:
        """See `Loudspeaker`."""
        self._pieces.append(_Piece(item_id, max(self._now(), self._end()), samples))

    def stop(self) -> tuple[str, int] | None:
        """See `Loudspeaker`."""
        now = self._now()
        sounding = next((p for p in self._pieces if p.start + len(p.samples) > now), None)
        for piece in self._pieces:
            piece.samples = piece.samples[: max(0, now - piece.start)]
        self._pieces = [piece for piece in self._pieces if len(piece.samples)]
        return (sounding.item_id, self._heard_ms(sounding.item_id)) if sounding else None

    @property
    def busy(self) -> bool:
        return self._end() > self._now()

    def audio(self) -> Audio:
        """From the beginning on, silence included."""
        timeline = np.zeros(self._end(), np.int16)
        for piece in self._pieces:
            timeline[piece.start : piece.start + len(piece.samples)] = piece.samples
        return Audio(timeline.astype(np.float32) / 32767, OUTPUT_SAMPLE_RATE)

    def _heard_ms(self, item_id: str) -> int:
        samples = sum(len(p.samples) for p in self._pieces if p.item_id == item_id)
        return samples * 1000 // OUTPUT_SAMPLE_RATE

    def _now(self) -> int:
        return round((time.monotonic() - self._began_s) * OUTPUT_SAMPLE_RATE)

    def _end(self) -> int:
        return max((p.start + len(p.samples) for p in self._pieces), default=0)


class Devices:
    """The machine's microphone and loudspeaker, by the extra package `sounddevice`.

    Raises: InputError if it, or a device, is not there.
    """

    def __init__(self) -> None:
        try:
            import sounddevice  # an extra  # pyright: ignore[reportMissingImports]
        except (ImportError, OSError) as exc:  # OSError: without PortAudio
            raise InputError(
                "talking needs a package more: python -m pip install sounddevice; or use --file"
            ) from exc
        self._waiting: deque[tuple[str, np.ndarray]] = deque()
        self._heard_samples: dict[str, int] = {}
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        how = {"samplerate": OUTPUT_SAMPLE_RATE, "channels": 1, "dtype": "int16"}
        try:
            self._input = sounddevice.RawInputStream(
                blocksize=BLOCK_SAMPLES, callback=self._listen, **how
            )
            self._output = sounddevice.OutputStream(
                blocksize=BLOCK_SAMPLES // 2, callback=self._fill, **how
            )
        except sounddevice.PortAudioError as exc:
            raise InputError(f"no sound device can be used: {exc}; or use --file") from exc

    async def blocks(self) -> AsyncGenerator[bytes]:
        """What the microphone hears, until this is closed."""
        with self._input, self._output:
            while True:
                yield await self._heard.get()

    def play(self, item_id: str, samples: np.ndarray) -> None:
        """See `Loudspeaker`."""
        self._waiting.append((item_id, samples))

    def stop(self) -> tuple[str, int] | None:
        """See `Loudspeaker`."""
        waiting = list(self._waiting)
        self._waiting.clear()
        if not waiting:
            return None
        id_ = waiting[0][0]
        return id_, self._heard_samples.get(id_, 0) * 1000 // OUTPUT_SAMPLE_RATE

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def _listen(self, data: bytes, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._heard.put_nowait, bytes(data))

    def _fill(self, out: np.ndarray, frames: int, *_: object) -> None:
        """On the sound card's thread."""
        done = 0
        while done < frames and self._waiting:
            id_, samples = self._waiting.popleft()
            piece = samples[: frames - done]
            out[done : done + len(piece), 0] = piece
            self._heard_samples[id_] = self._heard_samples.get(id_, 0) + len(piece)
            if len(piece) < len(samples):
                self._waiting.appendleft((id_, samples[len(piece) :]))
            done += len(piece)
        out[done:] = 0
