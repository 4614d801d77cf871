"""An independent ear for what a checkpoint says: Whisper through faster-whisper, in int8."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path

from faster_whisper import WhisperModel

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio

BASE = "base"
BEAMS = 5
logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # it tells of every sound


class Judge:
    """Callable: a sound and the language that is spoken in it to what is said, as it is written.

    name: a size such as "base", a hub id, or a folder with such a model; it is loaded when
    something is judged for the first time. It decides without dice.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, sound: Audio, language: str) -> str:
        segments, _ = self._model.transcribe(
            sound.resampled(INPUT_SAMPLE_RATE).waveform,
            language=language,
            beam_size=BEAMS,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        return "".join(segment.text for segment in segments).strip()

    @cached_property
    def _model(self) -> WhisperModel:
        threads = max(1, (os.cpu_count() or 2) // 2)
        return WhisperModel(self.name, "cpu", compute_type="int8", cpu_threads=threads)


def chosen(name: str, teachers: Path | None) -> Judge:
    """The judge of this name; the base model lies among the teachers, too, if those are here."""
    beside = teachers / "whisper-base" if teachers else None
    return Judge(str(beside) if name == BASE and beside and beside.is_dir() else name)
