"""Sounds as values: decode a file, resample, mix down, check, encode. No torch here.

Waveforms are float32 in [-1, 1], mono, shape (T,). The model hears 16 kHz and speaks 24 kHz.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from kimi_demo.errors import AudioError

INPUT_SAMPLE_RATE = 16_000
OUTPUT_SAMPLE_RATE = 24_000
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


def read(path: str | Path) -> Audio:
    """Reads wav, flac, ogg/opus or mp3 from a local file that the caller has already trusted.

    Raises: AudioError if the file is missing, empty or no sound.
    """
    try:
        samples, sample_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as exc:
        name = Path(path).name
        raise AudioError(
            f"{name} cannot be read as sound: use a wav, flac, ogg, opus or mp3 file"
        ) from exc
    return from_samples(samples, sample_rate)


def check_heard(audio: Audio, max_duration_s: float) -> Audio:
    """Returns the sound if a model can listen to it.

    Raises: AudioError if it is shorter than 0.1 s, longer than allowed, or silent.
    """
    if audio.duration_s < 0.1:
        raise AudioError("the sound is shorter than 0.1 s: record or choose a longer one")
    if audio.duration_s > max_duration_s:
        raise AudioError(
            f"the sound lasts {audio.duration_s:.0f} s and at most {max_duration_s:.0f} s are "
            "possible: cut it into shorter pieces"
        )
    if float(np.abs(audio.waveform).max()) < SILENCE_PEAK:
        raise AudioError("the sound is silent: check the microphone and its level")
    return audio
