"""Samples on the wire of a live conversation: PCM of 16 bits at 24 kHz, G.711 at 8 kHz; mono."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile
import soxr

from kimi_demo.audio import INPUT_SAMPLE_RATE, OUTPUT_SAMPLE_RATE, to_int16
from kimi_demo.errors import InputError
from kimi_demo.wire.realtime import AudioFormat

_TELEPHONE_RATE = 8_000
_SUBTYPES = {"audio/pcm": "PCM_16", "audio/pcmu": "ULAW", "audio/pcma": "ALAW"}


def _rate(form: AudioFormat) -> int:
    return OUTPUT_SAMPLE_RATE if form.type == "audio/pcm" else _TELEPHONE_RATE


class SoundReader:
    """What a client sends, as the model hears it. Pieces are of one stream."""

    def __init__(self, form: AudioFormat) -> None:
        self._form = form
        self._resampler = soxr.ResampleStream(_rate(form), INPUT_SAMPLE_RATE, 1, "float32")

    def read(self, data: str) -> np.ndarray:
        """Base64 to (T,) float32 at 16 kHz. Raises: InputError."""
        try:
            raw = base64.b64decode(data, validate=True)
        except ValueError as exc:
            raise InputError("audio is not in base64", "audio", "invalid_base64") from exc
        if self._form.type == "audio/pcm" and len(raw) % 2:
            told = f"audio has {len(raw)} bytes: PCM of 16 bits has two for each sample"
            raise InputError(told, "audio", "invalid_audio")
        if not raw:
            return np.zeros(0, np.float32)
        return self._resampler.resample_chunk(_decoded(raw, self._form))


class SoundWriter:
    """An answer's sound as a client hears it. Pieces are of one stream."""

    def __init__(self, form: AudioFormat) -> None:
        self._form = form
        self._resampler: soxr.ResampleStream | None = None

    def write(self, waveform: np.ndarray, sample_rate: int) -> str:
        """(T,) float32 to base64; empty where nothing is ready yet."""
        rate = _rate(self._form)
        if rate != sample_rate:
            self._resampler = self._resampler or soxr.ResampleStream(
                sample_rate, rate, 1, "float32"
            )
            waveform = self._resampler.resample_chunk(waveform.astype(np.float32))
        return self._encoded(waveform)

    def rest(self) -> str:
        """What is still held back, at the end of the sound."""
        if self._resampler is None:
            return ""
        return self._encoded(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    def _encoded(self, waveform: np.ndarray) -> str:
        if self._form.type == "audio/pcm":
            return base64.b64encode(to_int16(waveform).tobytes()).decode()
        sink = io.BytesIO()
        subtype = _SUBTYPES[self._form.type]
        soundfile.write(sink, waveform, _rate(self._form), format="RAW", subtype=subtype)
        return base64.b64encode(sink.getvalue()).decode()


def _decoded(raw: bytes, form: AudioFormat) -> np.ndarray:
    samples, _ = soundfile.read(
        io.BytesIO(raw),
        dtype="float32",
        channels=1,
        samplerate=_rate(form),
        format="RAW",
        subtype=_SUBTYPES[form.type],
        endian="LITTLE",
    )
    return samples
