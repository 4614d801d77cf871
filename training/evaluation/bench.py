"""How an engine is asked during evaluation: by its protocol alone, as the page asks it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kimi_demo.audio import OUTPUT_SAMPLE_RATE, Audio
from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.events import Answer, Finished, Timings, collect
from kimi_demo.messages import Request
from kimi_demo.tasks import TaskTable

logger = logging.getLogger(__name__)

Ear = Callable[[Audio], str]
# What a refused request counts as: nothing written, nothing said.
REFUSED = Answer(
    "", np.zeros(0, np.float32), 0, Finished("stop", 0, 0, 0, Timings(None, None, 0.0, 0.0))
)


@dataclass(frozen=True)
class Bench:
    """What every measurement needs.

    ear: an independent recogniser of English. limit: items of each figure, at most.
    keep: folder for the sounds that are made, if they are wanted.
    """

    engine: Engine
    ear: Ear
    seed: int = 0
    limit: int = 60
    keep: Path | None = None

    def answer(self, request: Callable[[TaskTable], Request]) -> Answer:
        """The answer to what is asked; `REFUSED` if the checkpoint takes no such question."""
        try:
            return collect(self.engine.stream(request(self.engine.capabilities.tasks)))
        except InputError as exc:
            logger.warning("refused: %s", exc)
            return REFUSED

    def say(self, text: str) -> Answer:
        """The text, read aloud."""
        return self.answer(lambda tasks: tasks.speech(text, seed=self.seed))

    def written(self, audio: Audio, language: str) -> str:
        """What the checkpoint itself hears in a sound."""
        return self.answer(lambda tasks: tasks.transcription(audio, language, self.seed)).text

    def listener(self, language: str) -> Ear:
        """Who judges speech: the independent recogniser, or for Mandarin the checkpoint itself."""
        return self.ear if language == "en" else self.own_ear(language)

    def own_ear(self, language: str) -> Ear:
        """The checkpoint's own transcription as a judge."""
        return lambda audio: self.written(audio, language)


def sound_of(answer: Answer) -> Audio:
    """The spoken part of an answer, empty if it was silent."""
    return Audio(answer.waveform, answer.sample_rate or OUTPUT_SAMPLE_RATE)
