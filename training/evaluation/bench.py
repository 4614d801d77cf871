"""How an engine is asked during evaluation: as page and commands ask it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.events import Answer, Event, Finished, Timings, collect
from kimi_demo.intents import Ask, Caption, Choose, Speak, Transcribe
from kimi_demo.tasks import TaskTable
from kimi_demo.transcripts import transcript_of
from training.evaluation.rows import Figure
from training.evaluation.voices import Voices

logger = logging.getLogger(__name__)

Ear = Callable[[Audio, str], str]  # a sound and its language to what is said in it
# What a refused request counts as: nothing written, nothing said.
REFUSED = Answer(
    "", np.zeros(0, np.float32), 0, Finished("stop", 0, 0, 0, Timings(None, None, 0.0, 0.0))
)


@dataclass(frozen=True)
class Bench:
    """What the measurements need.

    checkpoint: nano, a folder or a hub id, for what is measured beside the engine. limit: items of
    each row, at most. recordings, sounds: folders of real ones, if there are any.
    """

    engine: Engine
    judge: Ear
    voices: Voices
    checkpoint: str = "nano"
    limit: int = 30
    recordings: Path | None = None
    sounds: Path | None = None

    @property
    def tasks(self) -> TaskTable:
        return self.engine.capabilities.tasks

    def said(self, text: str, language: str) -> str:
        """What the judge hears when the checkpoint reads a text aloud."""
        answer = collected(lambda: self.engine.stream(Speak(text, language)))
        if not answer.waveform.any():
            return ""
        return self.judge(Audio(answer.waveform, answer.sample_rate), language)

    def written(self, sound: Audio) -> str:
        """What the checkpoint hears, in a language that it finds out by itself."""
        try:
            intent = Transcribe(sound, may_be_empty=True)
            return transcript_of(self.engine.stream(intent))[0].text
        except InputError as exc:
            logger.warning("refused: %s", exc)
            return ""

    def told(self, intent: Caption | Ask | Choose) -> str:
        """What the checkpoint writes about a sound."""
        return collected(lambda: self.engine.stream(intent)).text


Measurement = Callable[[Bench], Mapping[str, Figure]]


def collected(events: Callable[[], Iterable[Event]]) -> Answer:
    """The whole answer; `REFUSED` if the checkpoint takes no such question."""
    try:
        return collect(events())
    except InputError as exc:
        logger.warning("refused: %s", exc)
        return REFUSED
