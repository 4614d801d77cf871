"""The engine that runs the model in this process: prompt -> generation -> detokenizer -> events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.checkpoint.loading import Checkpoint
from kimi_demo.engine import tasks
from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.engine.hearing import RememberingListener
from kimi_demo.engine.speech import SpeechWorker
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.engine.writing import WrittenAnswer
from kimi_demo.errors import EngineError, KimiError, PromptError
from kimi_demo.events import (
    AudioDelta,
    Event,
    Finished,
    FinishReason,
    HeardDelta,
    Started,
    Stepped,
    TextDelta,
    Timings,
    Weighed,
)
from kimi_demo.intents import Intent
from kimi_demo.model.detokenizer.mel_stream import NoiseSource
from kimi_demo.model.generation import GenerationRules, Step, Turn, generate, step_budget
from kimi_demo.model.prompt import Heard, PromptBuilder, PromptRules, PromptStreams
from kimi_demo.model.weighing import weigh

T = TypeVar("T")


@dataclass(frozen=True)
class Behaviour:
    """Named deviations for comparison with the reference; the defaults are what users want.

    noise: what the detokenizer starts from, given the request's seed.
    """

    prompt: PromptRules = field(default_factory=PromptRules)
    generation: GenerationRules = field(default_factory=GenerationRules)
    noise: Callable[[int], int | NoiseSource] = int


class LocalEngine(Engine):
    """One turn at a time; others wait for the slot."""

    def __init__(self, checkpoint: Checkpoint, behaviour: Behaviour | None = None) -> None:
        super().__init__(_capabilities(checkpoint))
        self._behaviour = behaviour or Behaviour()
        self._checkpoint: Checkpoint | None = checkpoint
        self._slot = threading.Lock()
        model = checkpoint.language_model
        self._cache = model.new_cache(slots=1)
        self._builder = PromptBuilder(
            checkpoint.vocabulary,
            checkpoint.text_tokenizer,
            RememberingListener(self._listen),
            model.config.audio_delay_tokens,
            self._behaviour.prompt,
        )

    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        """See `Engine.answer`."""
        return tasks.answer(intent, self.capabilities, self.run_turn)

    def run_turn(self, request: TurnRequest) -> Generator[Event, None, None]:
        """Yields the events of one turn of the model; see `engine.turn.RunTurn`."""
        with self._slot:
            answer = _Answer(self._loaded(), request, self._behaviour.noise(request.seed))
            try:
                yield from self._answer(answer, request)
            except KimiError:
                raise
            except torch.OutOfMemoryError as exc:
                raise EngineError("the device is out of memory: send a shorter request") from exc
            finally:
                answer.close()

    def close(self) -> None:
        """Cancels all jobs, then frees the model and what it heard."""
        super().close()
        with self._slot:
            if self._checkpoint is not None:
                self._checkpoint = None
                del self._cache, self._builder

    def _loaded(self) -> Checkpoint:
        if self._checkpoint is None:
            raise EngineError("the engine is closed: start the app again")
        return self._checkpoint

    def _answer(self, answer: _Answer, request: TurnRequest) -> Iterator[Event]:
        prompt = self._builder.build(request.messages, request.output)
        if max(prompt.audio_ids) >= self._loaded().language_model.config.vocabulary_size:
            raise PromptError("the history holds codes of another model: ask without it")
        answer.prompt_tokens = len(prompt)
        respond = self._choose if request.options else self._generate
        yield from respond(answer, request, prompt)

    def _generate(
        self, answer: _Answer, request: TurnRequest, prompt: PromptStreams
    ) -> Iterator[Event]:
        turn = self._turn(request, prompt)
        yield Started(len(prompt))
        model = self._loaded().language_model
        for step in generate(model, prompt, turn, self._cache):
            yield from answer.take(step)
            yield answer.stepped()
        assert turn.finish_reason is not None
        yield from answer.finish(turn.finish_reason)

    def _choose(
        self, answer: _Answer, request: TurnRequest, prompt: PromptStreams
    ) -> Generator[Event, None, None]:
        yield Started(len(prompt))
        checkpoint = self._loaded()
        answers = [checkpoint.text_tokenizer.encode(option.answer) for option in request.options]
        blank = checkpoint.vocabulary.text_blank
        weights = yield from answer.stepping(
            weigh(checkpoint.language_model, prompt, answers, blank, self._cache)
        )
        yield Weighed(weights)
        likeliest = weights.index(max(weights))
        yield from answer.take_choice(request.options[likeliest].label, len(answers[likeliest]))
        yield from answer.finish("stop")

    def _turn(self, request: TurnRequest, prompt: PromptStreams) -> Turn:
        checkpoint = self._loaded()
        rules = self._behaviour.generation
        steps = step_budget(
            len(prompt), request.output, request.max_new_tokens, rules, self._cache.capacity
        )
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


class _Answer:
    """The answer in the making: turns steps into events and keeps count."""

    def __init__(
        self, checkpoint: Checkpoint, request: TurnRequest, noise: int | NoiseSource
    ) -> None:
        self._started = time.perf_counter()
        self._vocabulary = checkpoint.vocabulary
        self._sample_rate = checkpoint.detokenizer.sample_rate_hz
        self._written = WrittenAnswer(checkpoint.text_tokenizer, checkpoint.vocabulary)
        speaks = request.output == "both" and not request.options
        self._speech = SpeechWorker(checkpoint.detokenizer, noise) if speaks else None
        self.prompt_tokens = 0
        self._text_tokens = 0
        self._codes: list[int] = []
        self._samples = 0
        self._first_text_s: float | None = None
        self._first_audio_s: float | None = None

    def take(self, step: Step) -> Iterator[Event]:
        """Text of the step, and whatever sound became ready meanwhile."""
        if step.is_text:
            self._text_tokens += 1
            yield from self._text(self._written.push(step.fed_text))
        if step.is_speech and self._vocabulary.is_audio(step.fed_audio):
            self._codes.append(self._vocabulary.audio_code(step.fed_audio))
            if self._speech:
                self._speech.push(self._codes[-1])
        yield from self._sound(wait=False)

    def stepped(self) -> Stepped:
        """The counts so far."""
        return Stepped(self._text_tokens, len(self._codes))

    def stepping(self, steps: Generator[None, None, T]) -> Generator[Event, None, T]:
        """Steps that tell nothing by themselves; returns what they come to."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            yield self.stepped()

    def take_choice(self, label: str, tokens: int) -> Iterator[Event]:
        """The chosen option, in whose place the model would write `tokens` ids."""
        self._text_tokens += tokens
        yield from self._text([TextDelta(label)])

    def finish(self, reason: FinishReason) -> Iterator[Event]:
        """The rest of text and sound, then Finished."""
        if self._speech:
            self._speech.finish()
        yield from self._text(self._written.flush())
        yield from self._sound(wait=True)
        timings = Timings(
            self._first_text_s,
            self._first_audio_s,
            self._elapsed_s(),
            self._samples / self._sample_rate,
        )
        yield Finished(
            reason,
            self.prompt_tokens,
            self._text_tokens,
            len(self._codes),
            timings,
            tuple(self._codes),
        )

    def close(self) -> None:
        """Ends the detokenizer, whatever state it is in."""
        if self._speech:
            self._speech.close()

    def _text(self, deltas: Iterable[HeardDelta | TextDelta]) -> Iterator[Event]:
        for delta in deltas:
            if isinstance(delta, TextDelta) and self._first_text_s is None:
                self._first_text_s = self._elapsed_s()
            yield delta

    def _sound(self, wait: bool) -> Iterator[Event]:
        for piece in self._speech.pieces(wait) if self._speech else ():
            if self._first_audio_s is None:
                self._first_audio_s = self._elapsed_s()
            self._samples += len(piece)
            yield AudioDelta(piece, self._sample_rate)

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._started


def _capabilities(checkpoint: Checkpoint) -> Capabilities:
    return Capabilities(
        model=checkpoint.about.name,
        label=checkpoint.about.label,
        device=str(checkpoint.device),
        parameters=checkpoint.parameters,
        sample_rate=checkpoint.detokenizer.sample_rate_hz,
        languages=checkpoint.about.languages,
        tasks=checkpoint.tasks,
        card=checkpoint.about.card,
    )
