"""One answer in the making: what scheduler and voices bring becomes events, in a queue that whoever
asked reads at leisure.
"""

from __future__ import annotations

import queue
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import torch

from kimi_demo.checkpoint.loading import Checkpoint
from kimi_demo.engine.voices import Voice, Voices
from kimi_demo.engine.writing import WrittenAnswer
from kimi_demo.errors import EngineError, KimiError
from kimi_demo.events import (
    AudioDelta,
    Event,
    Finished,
    Queued,
    Stepped,
    TextDelta,
    Weighed,
)
from kimi_demo.messages import Option
from kimi_demo.model.detokenizer.mel_stream import NoiseSource
from kimi_demo.model.generation import Step, Turn
from kimi_demo.model.weighing import Weighing

REPEAT_S = 0.05  # how soon somebody can go away while nothing comes


class LiveAnswer:
    """The scheduler's reader and the voice's listener. Their threads fill it, another one reads."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._vocabulary = checkpoint.vocabulary
        self._sample_rate = checkpoint.detokenizer.sample_rate_hz
        self._samples_per_code = checkpoint.detokenizer.samples_per_token
        self._written = WrittenAnswer(checkpoint.text_tokenizer, checkpoint.vocabulary)
        self._queue: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        self._voice: Voice | None = None
        self._text_tokens = 0
        self._codes: list[int] = []
        self._samples = 0

    def speak(self, voices: Voices, noise: int | NoiseSource) -> None:
        self._voice = voices.open(noise, self._hear)

    def step(self, step: Step | None) -> None:
        if step:
            self._take(step)
        self._queue.put(Stepped(self._text_tokens, len(self._codes)))

    def end(self, failure: BaseException | None) -> None:
        """See `scheduler.Reader`. Where there is a voice, it has the last word."""
        for delta in self._written.flush():
            self._queue.put(delta)
        if failure or not self._voice:
            self._queue.put(failure)
        else:
            self._voice.finish()

    def events(self) -> Iterator[Event]:
        """All that comes, until scheduler and voice are done. Queued(0) where nothing does.

        Raises: whatever went wrong with either.
        """
        while True:
            try:
                event = self._queue.get(timeout=REPEAT_S)
            except queue.Empty:
                yield Queued(0)
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise _explained(event)
            yield event

    def ending(
        self, prompt_tokens: int, turn: Turn | Weighing, options: Sequence[Option]
    ) -> Generator[Event, None, None]:
        """What was chosen, if there were options, and Finished."""
        reason = "stop"
        if isinstance(turn, Weighing):
            weights = turn.probabilities
            yield Weighed(weights)
            likeliest = weights.index(max(weights))
            self._text_tokens += turn.length_of(likeliest)
            yield TextDelta(options[likeliest].label)
        else:
            assert turn.finish_reason is not None
            reason = turn.finish_reason
        codes = tuple(self._codes)
        yield Finished(reason, prompt_tokens, self._text_tokens, len(codes), audio_codes=codes)

    def close(self) -> None:
        """Gives up whatever is not heard yet."""
        if self._voice:
            self._voice.cancel()

    def _take(self, step: Step) -> None:
        if step.is_text:
            self._text_tokens += 1
            for delta in self._written.push(step.fed_text):
                self._queue.put(delta)
        if step.is_speech and self._vocabulary.is_audio(step.fed_audio):
            self._codes.append(self._vocabulary.audio_code(step.fed_audio))
            if self._voice:
                self._voice.push(self._codes[-1])

    def _hear(self, piece: np.ndarray | BaseException | None) -> None:
        """What the voice delivers, beside the codes that it is the sound of."""
        if not isinstance(piece, np.ndarray):
            self._queue.put(piece)
            return
        first = self._samples // self._samples_per_code
        self._samples += len(piece)
        codes = self._codes[first : self._samples // self._samples_per_code]
        self._queue.put(AudioDelta(piece, self._sample_rate, tuple(codes)))


def _explained(failure: BaseException) -> BaseException:
    """What the reader is told: an error that says what to do, where there is one."""
    if isinstance(failure, torch.OutOfMemoryError):
        return EngineError("the device is out of memory: send a shorter request")
    if isinstance(failure, KimiError):
        return type(failure)(*failure.args)  # one reader, one traceback
    return failure
