"""One answer, step by step: what is drawn, what is forced, when it ends.

`Turn` is the state of one request and knows no model, so that many turns can share one decode step;
`generate` is the loop for a single slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kimi_demo.errors import PromptError
from kimi_demo.events import FinishReason
from kimi_demo.messages import OutputType, Sampling
from kimi_demo.model.cache import SlotCache
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.looping import LoopDetector
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.sampling import Sampler
from kimi_demo.model.vocabulary import Vocabulary

SPEECH_POSITIONS = 1500  # prompt and answer: 120 s at 12.5 Hz, as published
TEXT_POSITIONS = 7500


@dataclass(frozen=True)
class GenerationRules:
    """Where answers differ from those of the reference; parity asks for its ways by name.

    history_tokens: the penalty and the returned text see only so many first ids of the answer.
    speech_ignores_request: the caller's max_new_tokens does not count for spoken answers.
    allow_no_budget: a prompt that fills the limit yields an empty answer instead of an error.
    stop_loops: a written answer that only repeats itself ends; while the model speaks, the same
    text id may rightly stand for many steps.
    """

    history_tokens: int | None = None
    speech_ignores_request: bool = False
    allow_no_budget: bool = False
    stop_loops: bool = True

    @classmethod
    def reference(cls) -> GenerationRules:
        return cls(4096, speech_ignores_request=True, allow_no_budget=True, stop_loops=False)


def step_budget(
    prompt_length: int,
    output: OutputType,
    requested: int | None,
    rules: GenerationRules = GenerationRules(),
    capacity: int | None = None,
) -> int:
    """Decode steps that this answer may take.

    capacity: positions of a cache slot, if smaller than the published limits.
    Raises: PromptError if the prompt leaves no room.
    """
    published = SPEECH_POSITIONS if output == "both" else TEXT_POSITIONS
    limit = published if capacity is None else min(published, capacity)
    room = limit - prompt_length
    if room <= 0 and not rules.allow_no_budget:
        raise PromptError(
            f"the conversation fills {prompt_length} of {limit} positions: start a new one or send "
            "shorter sounds"
        )
    if requested is None or (output == "both" and rules.speech_ignores_request):
        return max(0, room)
    return max(0, min(requested, room))


@dataclass(frozen=True)
class Step:
    """One decode step. fed_*: ids that the model reads next; drawn_*: what the samplers said.

    is_text: the text id belongs to the answer. is_speech: the audio id comes after the delay.
    """

    fed_text: int
    fed_audio: int
    drawn_text: int
    drawn_audio: int
    is_text: bool
    is_speech: bool


class Turn:
    """Draws both streams of one answer and decides when it is over."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        output: OutputType,
        sampling: Sampling,
        max_steps: int,
        audio_delay_tokens: int,
        seed: int = 0,
        rules: GenerationRules = GenerationRules(),
    ) -> None:
        self._ids = vocabulary
        self._output = output
        self._delay = audio_delay_tokens
        self._max_steps = max_steps
        self._rules = rules
        generator = torch.Generator().manual_seed(seed)  # one for both: text is drawn first
        self._text_sampler = Sampler(sampling.text, generator)
        self._audio_sampler = Sampler(sampling.audio, generator)
        self._text: list[int] = []
        self._audio: list[int] = []
        self._text_ended = False
        self._loops = LoopDetector() if output == "text" and rules.stop_loops else None
        self.finish_reason: FinishReason | None = None if max_steps else "length"

    @property
    def steps(self) -> int:
        return len(self._text)

    def accept(self, text_logits: Tensor, audio_logits: Tensor) -> Step:
        """Takes the logits (V,) of one position and returns what comes next."""
        drawn_text = self._text_sampler(text_logits, self._known(self._text))
        drawn_audio = self._audio_sampler(audio_logits, self._known(self._audio))
        fed_text, is_text = self._force_text(drawn_text)
        is_speech = self._output == "both" and self.steps >= self._delay
        fed_audio = drawn_audio if is_speech else self._ids.text_blank
        self._text.append(fed_text)
        self._audio.append(fed_audio)
        self._end_if_due(fed_text, fed_audio)
        return Step(fed_text, fed_audio, drawn_text, drawn_audio, is_text, is_speech)

    def _known(self, ids: list[int]) -> list[int]:
        limit = self._rules.history_tokens
        if limit is None or len(ids) <= limit:
            return ids
        return ids[:limit]

    def _force_text(self, drawn: int) -> tuple[int, bool]:
        """After its end the text stream is blank; the end mark itself is fed once."""
        if self._text_ended:
            return self._ids.text_blank, False
        if drawn == self._ids.text_eos:
            self._text_ended = True
            return drawn, False
        limit = self._rules.history_tokens
        return drawn, limit is None or self.steps < limit

    def _end_if_due(self, fed_text: int, fed_audio: int) -> None:
        if self._output == "text":
            ended = self._text_ended
        else:
            ended = fed_audio in (self._ids.msg_end, self._ids.media_end)
        if ended:
            self.finish_reason = "stop"
        elif self._loops and self._loops.push(fed_text):
            self.finish_reason = "loop"
        elif self.steps >= self._max_steps:
            self.finish_reason = "length"


def generate(
    model: LanguageModel, prompt: PromptStreams, turn: Turn, cache: SlotCache, slot: int = 0
) -> Iterator[Step]:
    """Prefill, then decode one slot until the turn is finished."""
    if turn.finish_reason:
        return
    logits = model.prefill(prompt, cache, slot)
    text_logits, audio_logits = logits.text[0], logits.audio[0]
    ids = torch.zeros(2, cache.num_slots, dtype=torch.long, device=model.device)
    positions = torch.zeros(cache.num_slots, dtype=torch.long, device=model.device)
    while True:
        step = turn.accept(text_logits, audio_logits)
        yield step
        if turn.finish_reason:
            return
        position = len(prompt) + turn.steps - 1
        ids[0, slot], ids[1, slot] = step.fed_text, step.fed_audio
        positions[slot] = position
        logits = model.decode(ids[0], ids[1], positions, cache, position + 1)
        text_logits, audio_logits = logits.text[slot], logits.audio[slot]
