"""The engine that computes in this process: turn -> prompt -> scheduler -> voices -> events."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.checkpoint.loading import Checkpoint
from kimi_demo.engine import tasks
from kimi_demo.engine.answer import LiveAnswer
from kimi_demo.engine.base import CLOSED, Capabilities, Engine
from kimi_demo.engine.ears import RememberingListener
from kimi_demo.engine.scheduler import Scheduler
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.engine.voices import Voices
from kimi_demo.errors import EngineError, PromptError
from kimi_demo.events import Event, Started
from kimi_demo.intents import Intent
from kimi_demo.model.detokenizer.mel_stream import NoiseSource
from kimi_demo.model.generation import GenerationRules, Turn, step_budget
from kimi_demo.model.prompt import Heard, PromptBuilder, PromptRules, PromptStreams
from kimi_demo.model.weighing import Weighing


@dataclass(frozen=True)
class Behaviour:
    """Named deviations for comparison with the reference; the defaults are what users want.

    noise: what the detokenizer starts from, given the request's seed.
    """

    prompt: PromptRules = field(default_factory=PromptRules)
    generation: GenerationRules = field(default_factory=GenerationRules)
    noise: Callable[[int], int | NoiseSource] = int


class _Running:
    """The threads of one process; a fork has to start its own."""

    def __init__(self, checkpoint: Checkpoint, slots: int) -> None:
        self.process = os.getpid()
        self.scheduler = Scheduler(checkpoint.language_model, slots)
        on_cpu = checkpoint.device.type == "cpu"
        workers = min(slots, os.cpu_count() or 1) if on_cpu else 1
        self.voices = Voices(checkpoint.detokenizer, workers, together=1 if on_cpu else slots)

    def close(self) -> None:
        self.scheduler.close()
        self.voices.close()


class LocalEngine(Engine):
    """Answers several jobs at once, on one model."""

    def __init__(
        self, checkpoint: Checkpoint, behaviour: Behaviour | None = None, slots: int = 4
    ) -> None:
        super().__init__(_capabilities(checkpoint, slots))
        self._behaviour = behaviour or Behaviour()
        self._checkpoint: Checkpoint | None = checkpoint
        self._starting = threading.Lock()
        self._running: _Running | None = None
        self._builder = PromptBuilder(
            checkpoint.vocabulary,
            checkpoint.text_tokenizer,
            RememberingListener(self._listen),
            checkpoint.language_model.config.audio_delay_tokens,
            self._behaviour.prompt,
        )

    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        return tasks.answer(intent, self.capabilities, self.run_turn)

    def run_turn(self, request: TurnRequest) -> Generator[Event, None, None]:
        """Yields the events of one turn of the model; see `engine.turn.RunTurn`."""
        checkpoint, running = self._loaded(), self._threads()
        with closing(LiveAnswer(checkpoint)) as answer:
            prompt = self._builder.build(request.messages, request.output)
            if max(prompt.audio_ids) >= checkpoint.language_model.config.vocabulary_size:
                raise PromptError("the history holds codes of another model: ask without it")
            turn = self._turn(request, prompt, running.scheduler.capacity)
            if request.output == "both" and not request.options:
                answer.speak(running.voices, self._behaviour.noise(request.seed))
            yield Started(len(prompt))
            row = running.scheduler.submit(prompt, turn, answer)
            try:
                yield from answer.events()
            finally:
                running.scheduler.cancel(row)
            yield from answer.ending(len(prompt), turn, request.options)

    def close(self) -> None:
        """Cancels all jobs, then frees the model and what it heard."""
        super().close()
        with self._starting:
            running, self._running = self._running, None
            self._checkpoint = None
        if running and running.process == os.getpid():
            running.close()

    def _loaded(self) -> Checkpoint:
        if self._checkpoint is None:
            raise EngineError(CLOSED)
        return self._checkpoint

    def _threads(self) -> _Running:
        """Started with the first turn in each process."""
        with self._starting:
            if self._running is None or self._running.process != os.getpid():
                self._running = _Running(self._loaded(), self.capabilities.slots)
            return self._running

    def _turn(self, request: TurnRequest, prompt: PromptStreams, capacity: int) -> Turn | Weighing:
        checkpoint, rules = self._loaded(), self._behaviour.generation
        if request.options:
            answers = [checkpoint.text_tokenizer.encode(o.answer) for o in request.options]
            return Weighing(answers, checkpoint.vocabulary.text_blank, len(prompt), capacity)
        steps = step_budget(len(prompt), request.output, request.max_new_tokens, rules, capacity)
        return Turn(
            checkpoint.vocabulary,
            request.output,
            request.sampling,
            steps,
            checkpoint.language_model.config.audio_delay_tokens,
            request.seed,
            rules,
        )

    def _listen(self, audio: Audio) -> Heard:
        """Both encoders hear the same 16 kHz waveform."""
        checkpoint = self._loaded()
        waveform = audio.resampled(INPUT_SAMPLE_RATE).waveform
        return Heard(
            checkpoint.speech_tokenizer.encode(waveform),
            checkpoint.acoustic_encoder.encode(waveform),
        )


def _capabilities(checkpoint: Checkpoint, slots: int) -> Capabilities:
    return Capabilities(
        model=checkpoint.about.name,
        label=checkpoint.about.label,
        device=str(checkpoint.device),
        parameters=checkpoint.parameters,
        sample_rate=checkpoint.detokenizer.sample_rate_hz,
        languages=checkpoint.about.languages,
        tasks=checkpoint.tasks,
        card=checkpoint.about.card,
        slots=slots,
    )
