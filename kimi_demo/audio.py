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
from av.error import FFmpegError

from kimi_demo.errors import AudioError

INPUT_SAMPLE_RATE = 16_000
OUTPUT_SAMPLE_RATE = 24_000
MAX_FILE_S = 3600.0  # of a file; what one request may hold is the task table's business
# Containers that PyAV may open: no playlist among them, which could name other files or addresses.
_CONTAINERS = "mov,matroska,webm,aac"
# What recorders write, with room to spare; more only hides gigabytes behind a small file.
MAX_CHANNELS = 16
MIN_FILE_RATE, MAX_FILE_RATE = 1_000, 384_000
_BLOCK_SAMPLES = 2**16  # of each channel, read at once
_FRAME_SAMPLES = 2**13  # the same of what FFmpeg decodes
_NO_LENGTH = 2**62  # frames: libsndfile counts more where the header does not say how many
_USE_ANOTHER = "cannot be read as sound: use a wav, flac, ogg, opus, mp3, m4a, mp4 or webm file"
# TypeError: soundfile takes a name that ends in .raw for samples without a header.
_UNREADABLE = (FFmpegError, soundfile.SoundFileError, OSError, ValueError, TypeError)
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


def read(
    path: str | Path, max_duration_s: float = MAX_FILE_S, sample_rate: int | None = None
) -> Audio:
    """`decode` for a local file that the caller has already trusted.

    Raises: AudioError if the file is missing, empty, no sound or longer than allowed.
    """
    try:
        with Path(path).open("rb") as file:
            return _decoded(file, max_duration_s, sample_rate)
    except _UNREADABLE as exc:
        raise AudioError(f"{Path(path).name} {_USE_ANOTHER}") from exc


def decode(
    file: BinaryIO, max_duration_s: float = MAX_FILE_S, sample_rate: int | None = None
) -> Audio:
    """Reads wav, flac, ogg/opus or mp3, or the sound of m4a, mp4 and webm, mixed down, from an
    open file that may come from anybody; it is left open.

    Memory grows with what is really in it, not with what its header says, and no further than
    max_duration_s. sample_rate: of the result in Hz; None keeps the file's own.

    Raises: AudioError if it is empty, no sound, longer than allowed, or of a form that no
    recorder writes.
    """
    try:
        return _decoded(file, max_duration_s, sample_rate)
    except _UNREADABLE as exc:
        raise AudioError(f"the file {_USE_ANOTHER}") from exc


def _decoded(file: BinaryIO, max_duration_s: float, sample_rate: int | None) -> Audio:
    try:
        return _read_plain(file, max_duration_s, sample_rate)
    except soundfile.SoundFileError:
        file.seek(0)
        return _read_container(file, max_duration_s, sample_rate)


class _StraightOn(soundfile.SoundFile):
    """Reads on without seeking to where it is already: compressed formats do not find the very
    sample again, and what a header says of the length is not asked.
    """

    def seekable(self) -> bool:
        return False


def _read_plain(file: BinaryIO, max_duration_s: float, sample_rate: int | None) -> Audio:
    """What libsndfile knows. Raises: SoundFileError if it knows it not; AudioError if it is too
    much.
    """
    with _StraightOn(file) as sound:
        sink = _Sink(sound.samplerate, sound.channels, max_duration_s, sample_rate)
        if sound.frames < _NO_LENGTH:
            _check_duration(sound.frames / sound.samplerate, max_duration_s)
        while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            sink.take(block.mean(axis=1))
    return sink.audio()


def _read_container(file: BinaryIO, max_duration_s: float, sample_rate: int | None) -> Audio:
    """The first sound stream of what FFmpeg knows. Recorders of browsers write no duration.

    Raises: AudioError if there is no sound in it or too much; FFmpegError or ValueError if it is
    broken.
    """
    sink = None
    with av.open(file, "r", options={"format_whitelist": _CONTAINERS}) as container:
        if not container.streams.audio:
            raise AudioError("this file has pictures but no sound: choose one with sound")
        stream = container.streams.audio[0]
        _check_duration((container.duration or 0) / av.time_base, max_duration_s)
        for frame in _float_frames(container, stream):
            if sink is None:  # only now it is sure: some codecs double the rate that is stated
                channels = frame.layout.nb_channels
                sink = _Sink(frame.sample_rate, channels, max_duration_s, sample_rate)
            sink.take(frame.to_ndarray().mean(axis=0))
    return sink.audio() if sink else from_samples(np.zeros(0), 1)


def _float_frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Decoded frames (C, T) of one stream, float32 at its own rate; several at a time, since each
    costs more than its samples.
    """
    resampler = av.AudioResampler(format="fltp", frame_size=_FRAME_SAMPLES)
    for frame in container.decode(stream):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


class _Sink:
    """A sound that comes block by block: counted, and resampled on the way if that is wanted."""

    def __init__(
        self, own_rate: int, channels: int, max_duration_s: float, sample_rate: int | None
    ) -> None:
        _check_form(own_rate, channels)
        self._own_rate = own_rate
        self._rate = sample_rate or own_rate
        self._max_duration_s = max_duration_s
        self._samples = 0
        self._pieces: list[np.ndarray] = []
        self._resampler = (
            soxr.ResampleStream(own_rate, self._rate, 1) if self._rate != own_rate else None
        )

    def take(self, block: np.ndarray) -> None:
        """(T,) float32 more. Raises: AudioError if it is too much by now."""
        self._samples += len(block)
        if self._samples > self._max_duration_s * self._own_rate:
            raise AudioError(
                f"the sound goes on after {self._max_duration_s:.0f} s and at most "
                f"{self._max_duration_s:.0f} s are possible: cut it into shorter pieces"
            )
        self._keep(block)

    def audio(self) -> Audio:
        """All of it. Raises: AudioError if that is nothing, or no finite numbers."""
        if self._samples:
            self._keep(np.zeros(0, np.float32), last=True)
        return from_samples(np.concatenate(self._pieces or [np.zeros(0)]), self._rate)

    def _keep(self, block: np.ndarray, last: bool = False) -> None:
        if self._resampler:
            block = self._resampler.resample_chunk(block, last)
        self._pieces.append(block)


def _check_form(sample_rate: int, channels: int) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"the sound has {channels} channels and at most {MAX_CHANNELS} are possible: mix it "
            "down"
        )
    if not MIN_FILE_RATE <= sample_rate <= MAX_FILE_RATE:
        raise AudioError(
            f"the sound has {sample_rate} samples a second and {MIN_FILE_RATE} to {MAX_FILE_RATE} "
            "are possible: resample it"
        )


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
    check_length(audio, max_duration_s)
    if float(np.abs(audio.waveform).max()) < SILENCE_PEAK:
        raise AudioError("the sound is silent: check the microphone and its level")
    return audio


def check_length(audio: Audio, max_duration_s: float) -> None:
    """Raises: AudioError if it is shorter than 0.1 s or longer than allowed."""
    if audio.duration_s < 0.1:
        raise AudioError("the sound is shorter than 0.1 s: record or choose a longer one")
    _check_duration(audio.duration_s, max_duration_s)
