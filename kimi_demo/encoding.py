"""Sounds as files while they are made: mp3, opus, aac, flac, wav and raw samples. No torch here.

Bytes leave as soon as a frame of the format is full; nothing that was sent is changed later, so
lengths that headers would hold stay unknown: 0xFFFFFFFF in wav; 0 in flac, which libsndfile then
reads only without seeking. `encoded` writes the true ones.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO, Literal

import av
import numpy as np
import soxr
from av import AudioFrame, AudioStream
from av.error import BlockingIOError, EOFError
from av.filter import Graph

from kimi_demo.audio import OUTPUT_SAMPLE_RATE, Audio, to_int16

SoundFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
MIN_SPEED, MAX_SPEED = 0.25, 4.0
_STEP = 2.0  # the most that one filter speeds up without leaving out sound, or slows down
_LEAST_S = 0.1  # of a lossy file: one without a frame is none


@dataclass(frozen=True)
class _Coding:
    """How a format is made, in the names of FFmpeg.

    sample_rate: the only one; None keeps that of the sound. bits_per_s: None if nothing is lost.
    """

    container: str
    codec: str
    sample_rate: int | None = OUTPUT_SAMPLE_RATE
    bits_per_s: int | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])


_CODINGS = {
    "mp3": _Coding("mp3", "libmp3lame", bits_per_s=96_000),
    # Pages of 60 ms, not of a second: a page leaves when it is full.
    "opus": _Coding("ogg", "libopus", bits_per_s=48_000, options={"page_duration": "60000"}),
    "aac": _Coding("adts", "aac", bits_per_s=96_000),
    # Padding is room for tags that are added later, 8 kB of it by default.
    "flac": _Coding("flac", "flac", sample_rate=None, options={"metadata_header_padding": "0"}),
    "wav": _Coding("wav", "pcm_s16le", sample_rate=None),
    "pcm": _Coding("s16le", "pcm_s16le"),
}


def encoded(audio: Audio, format: str) -> bytes:
    """The whole file, with its length where the format holds one.

    Raises: ValueError for an unknown format.
    """
    coding = _coding_of(format)
    sound = audio.resampled(coding.sample_rate or audio.sample_rate)
    buffer = io.BytesIO()
    file = _File(buffer, coding, sound.sample_rate)
    file.write(to_int16(sound.waveform))
    file.finish()
    return buffer.getvalue()


class SoundEncoder:
    """One file: push() sound, send what comes back, and what finish() returns at the end.

    speed: the sound is that much shorter, at the same pitch. close() frees the encoder of a file
    that nobody wants any more; finish() has done so.
    Raises: ValueError for an unknown format or a speed outside MIN_SPEED to MAX_SPEED.
    """

    def __init__(self, format: str, sample_rate: int, speed: float = 1.0) -> None:
        coding = _coding_of(format)
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise ValueError(f"a speed of {speed} is outside {MIN_SPEED} to {MAX_SPEED}")
        rate = coding.sample_rate or sample_rate
        self._resampler = _resampler(sample_rate, rate)
        self._tempo = _Tempo(rate, speed) if speed != 1.0 else None
        self._sent = _Outbox()
        self._file = _File(self._sent, coding, rate)

    def push(self, waveform: np.ndarray) -> bytes:
        """Takes (T,) float32 in [-1, 1]; returns what is ready, which may be nothing."""
        self._add(waveform)
        return self._sent.taken()

    def finish(self) -> bytes:
        self._add(np.zeros(0, np.float32), last=True)
        self._file.finish()
        return self._sent.taken()

    def close(self) -> None:
        self._file.close()

    def _add(self, waveform: np.ndarray, last: bool = False) -> None:
        if self._resampler:
            waveform = self._resampler.resample_chunk(waveform.astype(np.float32), last)
        samples = to_int16(waveform)
        self._file.write(self._tempo.stretched(samples, last) if self._tempo else samples)


def _coding_of(format: str) -> _Coding:
    if format not in _CODINGS:
        raise ValueError(f"there is no format {format!r}: choose one of {', '.join(_CODINGS)}")
    return _CODINGS[format]


def _resampler(sample_rate: int, wanted: int) -> soxr.ResampleStream | None:
    if sample_rate == wanted:
        return None
    return soxr.ResampleStream(sample_rate, wanted, num_channels=1, dtype="float32")


class _Outbox:
    """A file to write to that gives away what was written, and so cannot go back in it."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def taken(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


class _File:
    """An encoder and its container. What goes in is (T,) int16, at one rate."""

    def __init__(self, target: BinaryIO | _Outbox, coding: _Coding, sample_rate: int) -> None:
        # Every packet leaves at once; equal sounds make equal files.
        options = {"flush_packets": "1", "fflags": "+bitexact", **coding.options}
        self._container = av.open(target, "w", format=coding.container, options=options)
        stream = self._container.add_stream(coding.codec, rate=sample_rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        if coding.bits_per_s:
            stream.bit_rate = coding.bits_per_s
        self._stream = stream
        self._container.start_encoding()  # the header
        self._lossy = bool(coding.bits_per_s)
        self._sample_rate = sample_rate
        self._written = 0

    def write(self, samples: np.ndarray) -> None:
        if len(samples):
            frame = _frame(samples, self._sample_rate, self._written)
            self._container.mux(self._stream.encode(frame))
            self._written += len(samples)

    def finish(self) -> None:
        """Writes what the encoder still held, and the end of the container."""
        if self._lossy and not self._written:
            self.write(np.zeros(round(_LEAST_S * self._sample_rate), np.int16))
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        self._container.close()


class _Tempo:
    """Makes speech faster or slower; its pitch stays what it is."""

    def __init__(self, sample_rate: int, speed: float) -> None:
        self._sample_rate = sample_rate
        self._taken = 0
        self._graph = Graph()
        count = math.ceil(abs(math.log(speed, _STEP)))
        source = self._graph.add_abuffer(
            sample_rate=sample_rate,
            format="s16",
            layout="mono",
            time_base=Fraction(1, sample_rate),
        )
        step = f"{speed ** (1 / count):.6f}"
        steps = [self._graph.add("atempo", step) for _ in range(count)]
        self._graph.link_nodes(source, *steps, self._graph.add("abuffersink")).configure()

    def stretched(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """(T,) int16 to what is ready of it, int16 too; `last` lets out the rest."""
        if len(samples):
            self._graph.push(_frame(samples, self._sample_rate, self._taken))
            self._taken += len(samples)
        if last:
            self._graph.push(None)
        return np.concatenate([np.zeros(0, np.int16), *self._ready()])

    def _ready(self) -> Iterator[np.ndarray]:
        while True:
            try:
                yield self._graph.pull().to_ndarray()[0]
            except (BlockingIOError, EOFError):  # needs more sound; has no more
                return


def _frame(samples: np.ndarray, sample_rate: int, position: int) -> AudioFrame:
    """(T,) int16 that stand `position` samples after the start."""
    frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = sample_rate
    frame.time_base = Fraction(1, sample_rate)
    frame.pts = position
    return frame
