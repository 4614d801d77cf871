"""One answer, step by step: what is drawn, what is forced, when it ends.

`Turn` is the state of one answer and knows no model, so that many turns share one decode step;
`generate` is the loop for a single slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kimi_demo.errors import PromptError
from kimi_demo.events import FinishReason
from kimi_demo.messages import OutputType, Sampling
from kimi_demo.model.cache import SlotCache
from kimi_demo.model.language_model import Feed, LanguageModel, Logits
from kimi_demo.model.looping import LoopDetector
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.sampling import Draw, draw
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
    draw_silent: both streams are drawn at every step, also the one that is not heard.
    """

    history_tokens: int | None = None
    speech_ignores_request: bool = False
    allow_no_budget: bool = False
    stop_loops: bool = True
    draw_silent: bool = False

    @classmethod
    def reference(cls) -> GenerationRules:
        return cls(4096, True, allow_no_budget=True, stop_loops=False, draw_silent=True)


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
    """One decode step. fed_*: ids that the model reads next; drawn_*: what was drawn, blank where
    nothing was.

    is_text: the text id belongs to the answer. is_speech: the audio id comes after the delay.
    """

    fed_text: int
    fed_audio: int
    drawn_text: int
    drawn_audio: int
    is_text: bool
    is_speech: bool


class Turn:
    """Says how both streams of one answer are drawn, takes the ids and decides when it is over."""

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
        self._sampling = sampling
        self._delay = audio_delay_tokens
        self._max_steps = max_steps
        self._seed = seed
        self._rules = rules
        self._text: list[int] = []
        self._audio: list[int] = []
        self._text_ended = False
        self._loops = LoopDetector() if output == "text" and rules.stop_loops else None
        self.finish_reason: FinishReason | None = None if max_steps else "length"

    @property
    def steps(self) -> int:
        return len(self._text)

    @property
    def writes(self) -> bool:
        """Whether the text stream is still drawn."""
        return not self._text_ended or self._rules.draw_silent

    @property
    def speaks(self) -> bool:
        """Whether the audio stream is computed at all."""
        return self._output == "both" or self._rules.draw_silent

    def draws(self) -> tuple[Draw, Draw]:
        """How the next id of the text and of the audio stream are drawn."""
        text, audio = self._sampling.text, self._sampling.audio
        return (
            Draw(text, self._known(self._text), self._seed, self.steps),
            Draw(audio, self._known(self._audio), self._seed, self.steps),
        )

    def accept(self, drawn_text: int | None, drawn_audio: int | None) -> Step:
        """Takes what was drawn, None for a stream that was not, and returns what comes next."""
        blank = self._ids.text_blank
        drawn_text = blank if drawn_text is None else drawn_text
        drawn_audio = blank if drawn_audio is None else drawn_audio
        fed_text, is_text = self._force_text(drawn_text)
        is_speech = self._output == "both" and self.steps >= self._delay
        fed_audio = drawn_audio if is_speech else blank
        self._text.append(fed_text)
        self._audio.append(fed_audio)
        self._end_if_due(fed_text, fed_audio)
        return Step(fed_text, fed_audio, drawn_text, drawn_audio, is_text, is_speech)

    def feed(self, slot: int, prompt_length: int) -> Feed:
        """What the model reads next."""
        position = prompt_length + self.steps - 1
        ids = self._text[-1], self._audio[-1]
        return Feed(slot, position, *ids, writes=self.writes, speaks=self.speaks)

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


def advance(model: LanguageModel, turns: Sequence[Turn], logits: Logits) -> list[Step]:
    """One step of several turns.

    logits: (B, V), of the turns that write and of those that speak, in their order.
    """
    draws = [turn.draws() for turn in turns]
    texts = [pair[0] for pair, turn in zip(draws, turns, strict=True) if turn.writes]
    audios = [pair[1] for pair, turn in zip(draws, turns, strict=True) if turn.speaks]
    text = iter(_drawn(logits.text, texts, model.text_rows.start, stream=0))
    audio = iter(_drawn(logits.audio, audios, model.audio_rows.start, stream=1))
    return [
        turn.accept(next(text) if turn.writes else None, next(audio) if turn.speaks else None)
        for turn in turns
    ]


def _drawn(logits: Tensor | None, draws: list[Draw], first_id: int, stream: int) -> list[int]:
    if not draws:
        return []
    assert logits is not None
    return draw(logits, draws, first_id, stream)


@torch.inference_mode()
def generate(
    model: LanguageModel, prompt: PromptStreams, turn: Turn, cache: SlotCache, slot: int = 0
) -> Iterator[Step]:
    """Prefill, then decode one slot until the turn is finished."""
    if turn.finish_reason:
        return
    logits = model.prefill(prompt, cache, slot, speaks=turn.speaks)
    while True:
        (step,) = advance(model, [turn], logits)
        yield step
        if turn.finish_reason:
            return
        logits = model.decode([turn.feed(slot, len(prompt))], cache)
