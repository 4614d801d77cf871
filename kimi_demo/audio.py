"""Sounds as values: decode a file, resample, mix down, check, encode. No torch here.

Waveforms are float32 in [-1, 1], mono, shape (T,). The model hears 16 kHz and speaks 24 kHz.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
import soxr
from av import AudioFrame, AudioStream
from av.container import InputContainer

from kimi_demo.errors import AudioError

INPUT_SAMPLE_RATE = 16_000
OUTPUT_SAMPLE_RATE = 24_000
MAX_FILE_S = 3600.0  # of a file; what one request may hold is the task table's business
# Containers that PyAV may open: no playlist among them, which could name other files or addresses.
_CONTAINERS = "mov,matroska,webm,aac"
SILENCE_PEAK = 10 ** (-50 / 20)  # -50 dBFS: quieter recordings hold no speech


@dataclass(frozen=True, eq=False)
class Audio:
    """A mono sound. waveform: (T,) float32 in [-1, 1]; sample_rate in Hz."""

    waveform: np.ndarray
    sample_rate: int

    def __post_init__(self) -> None:
        if self.waveform.ndim != 1:
            raise AudioError("a sound must have one channel; mix it down first")
        if self.sample_rate <= 0:
            raise AudioError(f"a sample rate of {self.sample_rate} Hz makes no sense")

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate

    def resampled(self, sample_rate: int) -> Audio:
        """The same sound at another rate (band-limited, soxr HQ)."""
        if sample_rate == self.sample_rate:
            return self
        waveform = soxr.resample(self.waveform, self.sample_rate, sample_rate)
        return Audio(waveform.astype(np.float32), sample_rate)

    def pcm16(self) -> bytes:
        """Little-endian 16-bit samples, clipped, never re-scaled."""
        return to_int16(self.waveform).tobytes()

    def wav(self) -> bytes:
        """A complete 16-bit WAV file."""
        buffer = io.BytesIO()
        soundfile.write(buffer, to_int16(self.waveform), self.sample_rate, format="WAV")
        return buffer.getvalue()


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """(T,) float in [-1, 1] to (T,) int16; one fixed scale, clipped."""
    return (np.clip(waveform, -1.0, 1.0) * 32767.0).round().astype("<i2")


def from_samples(samples: np.ndarray, sample_rate: int) -> Audio:
    """Samples as recorders give them, (T,) or (T, C), integer or float, to an Audio.

    Raises: AudioError if there are no samples or they are not finite numbers.
    """
    array = np.asarray(samples)
    if array.size == 0:
        raise AudioError("the sound is empty: record or choose one with at least a word in it")
    if np.issubdtype(array.dtype, np.integer):
        array = array.astype(np.float32) / float(np.iinfo(array.dtype).max + 1)
    mono = array.astype(np.float32).mean(axis=1) if array.ndim == 2 else array.astype(np.float32)
    if not np.isfinite(mono).all():
        raise AudioError("the sound holds values that are not numbers; save it again as WAV")
    return Audio(mono, int(sample_rate))


def read(path: str | Path, max_duration_s: float = MAX_FILE_S) -> Audio:
    """Reads wav, flac, ogg/opus or mp3, or the sound of m4a, mp4 and webm, from a local file that
    the caller has already trusted.

    Raises: AudioError if the file is missing, empty, no sound or longer than allowed.
    """
    try:
        with Path(path).open("rb") as file:
            try:
                return _read_plain(file, max_duration_s)
            except soundfile.SoundFileError:
                file.seek(0)
                return _read_container(file, max_duration_s)
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise AudioError(
            f"{Path(path).name} cannot be read as sound: use a wav, flac, ogg, opus, mp3, m4a, mp4 "
            "or webm file"
        ) from exc


def _read_plain(file: BinaryIO, max_duration_s: float) -> Audio:
    """What libsndfile knows."""
    with soundfile.SoundFile(file) as sound:
        _check_duration(sound.frames / sound.samplerate, max_duration_s)
        return from_samples(sound.read(dtype="float32", always_2d=True), sound.samplerate)


def _read_container(file: BinaryIO, max_duration_s: float) -> Audio:
    """The first sound stream of what FFmpeg knows, mixed down. Recorders of browsers write no
    duration, so the decoded samples are counted as well.

    Raises: AudioError if there is no sound in it or too much; FFmpegError or ValueError if it is
    broken.
    """
    with av.open(file, options={"format_whitelist": _CONTAINERS}) as container:
        if not container.streams.audio:
            raise AudioError("this file has pictures but no sound: choose one with sound")
        stream = container.streams.audio[0]
        _check_duration((container.duration or 0) / av.time_base, max_duration_s)
        pieces, samples = [], 0
        for frame in _float_frames(container, stream):
            pieces.append(frame.to_ndarray().mean(axis=0))
            samples += frame.samples
            _check_duration(samples / frame.sample_rate, max_duration_s)
    if not pieces:
        return from_samples(np.zeros(0), 1)
    return from_samples(np.concatenate(pieces), frame.sample_rate)


def _float_frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decoded frames (C, T) of one stream, float32 at its own rate."""
    resampler = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _check_duration(duration_s: float, max_duration_s: float) -> None:
    if duration_s > max_duration_s:
        raise AudioError(
            f"the sound lasts {duration_s:.0f} s and at most {max_duration_s:.0f} s are "
            "possible: cut it into shorter pieces"
        )


def check_heard(audio: Audio, max_duration_s: float) -> Audio:
    """Returns the sound if a model can listen to it.

    Raises: AudioError if it is shorter than 0.1 s, longer than allowed, or silent.
    """
    if audio.duration_s < 0.1:
        raise AudioError("the sound is shorter than 0.1 s: record or choose a longer one")
    _check_duration(audio.duration_s, max_duration_s)
    if float(np.abs(audio.waveform).max()) < SILENCE_PEAK:
        raise AudioError("the sound is silent: check the microphone and its level")
    return audio
