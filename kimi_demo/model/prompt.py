"""Messages to prompt streams: two id sequences of equal length, and where audio was heard.

A user's text stands in the text stream over blanks, a user's sound in the audio stream between
begin and end marks, an earlier spoken answer in both at once. Turns are opened by a role mark and
closed by msg_end; a turn that ends with a sound says which kind of answer it wants, and so does one
that ends with a text which asks for it.
Axes: T positions, N heard positions, F adaptor input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise, takewhile
from typing import Protocol

import torch
from torch import Tensor

from kimi_demo.audio import Audio
from kimi_demo.errors import PromptError
from kimi_demo.messages import AudioPart, Message, OutputType, Part, Role, SpokenPart, TextPart
from kimi_demo.model.vocabulary import Vocabulary


@dataclass(frozen=True)
class Heard:
    """A sound as the model hears it. codes: semantic tokens; features: (positions, F)."""

    codes: Sequence[int]
    features: Tensor


class Listener(Protocol):
    """Turns a sound into what the prompt needs."""

    def __call__(self, audio: Audio) -> Heard: ...


class TextEncoder(Protocol):
    """Turns text into base token ids; markers typed by a user stay plain text."""

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class PromptRules:
    """Where public versions of the reference differ from each other or from common sense.

    assistant_text_eos: written answers in the history end with text_eos (newer versions).
    spoken_history: spoken answers may stand in the history as codes beside text (newer versions).
    reject_long_text: refuse a spoken answer whose text outlasts its sound, instead of padding.
    broadcast_single_row: spread a single feature row over a whole segment, instead of refusing.
    """

    assistant_text_eos: bool = True
    spoken_history: bool = True
    reject_long_text: bool = False
    broadcast_single_row: bool = False

    @classmethod
    def newest_reference(cls) -> PromptRules:
        return cls(reject_long_text=True, broadcast_single_row=True)

    @classmethod
    def released_reference(cls) -> PromptRules:
        return cls(False, False, reject_long_text=True, broadcast_single_row=True)


@dataclass
class PromptStreams:
    """text_ids, audio_ids, heard: (T,); features: one (rows, F) tensor a heard segment."""

    text_ids: list[int] = field(default_factory=list)
    audio_ids: list[int] = field(default_factory=list)
    heard: list[bool] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    rules: PromptRules = field(default_factory=PromptRules)

    def __len__(self) -> int:
        return len(self.text_ids)

    def append(self, text_id: int, audio_id: int, heard: bool = False) -> None:
        self.text_ids.append(text_id)
        self.audio_ids.append(audio_id)
        self.heard.append(heard)

    def segment_lengths(self) -> list[int]:
        """Positions of each heard segment."""
        return [len(list(run)) for heard, run in groupby(self.heard) if heard]

    def matched_features(self) -> Tensor:
        """(N, F): exactly one row for each heard position; surplus rows are cut.

        Raises: PromptError if segments and features do not match.
        """
        lengths = self.segment_lengths()
        if len(lengths) != len(self.features):
            raise PromptError(
                f"{len(lengths)} sounds in the prompt, but features for {len(self.features)}"
            )
        return torch.cat([self._match(f, n) for f, n in zip(self.features, lengths, strict=True)])

    def common_positions(self, other: PromptStreams) -> int:
        """How many positions at the beginning are the same in both, sounds included."""
        pairs = zip(
            zip(self.text_ids, self.audio_ids, self.heard, strict=True),
            zip(other.text_ids, other.audio_ids, other.heard, strict=True),
            strict=False,
        )
        count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        edges = enumerate(pairwise((False, *self.heard)))
        starts = (n for n, (before, heard) in edges if heard and not before)
        for start, own, others in zip(starts, self.features, other.features, strict=False):
            if start < count and own is not others and not torch.equal(own, others):
                return start
        return count

    def _match(self, features: Tensor, length: int) -> Tensor:
        if self.rules.broadcast_single_row and len(features) == 1:
            return features.expand(length, -1)
        if len(features) < length:
            raise PromptError(f"a sound has {length} codes, but only {len(features)} features")
        return features[:length]


class PromptBuilder:
    """Writes messages into streams with one checkpoint's vocabulary."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        text_encoder: TextEncoder,
        listener: Listener,
        audio_delay_tokens: int,
        rules: PromptRules | None = None,
    ) -> None:
        self._ids = vocabulary
        self._text_encoder = text_encoder
        self._listener = listener
        self._delay = audio_delay_tokens
        self._rules = rules or PromptRules()

    def build(self, messages: Iterable[Message], output: OutputType) -> PromptStreams:
        """The prompt up to the mark that opens the answer.

        Raises: PromptError for a role or part that the model does not know.
        """
        streams = PromptStreams(rules=self._rules)
        for role, run in groupby(messages, key=lambda message: message.role):
            self._write_turn(streams, role, [p for message in run for p in message.parts], output)
        self._mark(streams, self._ids.assistant_start)
        return streams

    def _write_turn(
        self, streams: PromptStreams, role: Role, parts: Sequence[Part], output: OutputType
    ) -> None:
        starts = {"user": self._ids.user_start, "assistant": self._ids.assistant_start}
        if role not in starts:
            raise PromptError(f"there is no role {role!r}: use user or assistant")
        self._mark(streams, starts[role])
        for part in parts:
            self._write_part(streams, role, part)
        if parts and _asks_for_answer(parts[-1]):
            wish = self._ids.speech_ct if output == "text" else self._ids.speech_ctd
            self._mark(streams, wish)
        self._mark(streams, self._ids.msg_end)

    def _write_part(self, streams: PromptStreams, role: Role, part: Part) -> None:
        match part:
            case TextPart(text) if isinstance(text, str):
                self._write_text(streams, text)
                if role == "assistant" and self._rules.assistant_text_eos:
                    streams.append(self._ids.text_eos, self._ids.text_blank)
            case AudioPart(audio):
                self._write_heard(streams, self._listener(audio))
            case SpokenPart(codes, text) if self._rules.spoken_history:
                self._write_spoken(streams, codes, text)
            case _:
                raise PromptError(f"{type(part).__name__} is no text or sound that can be sent")

    def _write_text(self, streams: PromptStreams, text: str) -> None:
        for token in self._text_encoder.encode(text):
            streams.append(token, self._ids.text_blank)

    def _write_heard(self, streams: PromptStreams, sound: Heard) -> None:
        self._mark(streams, self._ids.media_begin)
        for code in sound.codes:
            streams.append(self._ids.text_blank, self._ids.audio_id(code), heard=True)
        streams.features.append(sound.features)
        self._mark(streams, self._ids.media_end)

    def _write_spoken(self, streams: PromptStreams, codes: Sequence[int], text: str) -> None:
        """Codes after the delay, as they were once generated, beside their text."""
        blank = self._ids.text_blank
        audio = [blank] * self._delay + [self._ids.audio_id(code) for code in codes]
        words = self._text_encoder.encode(text)
        if len(words) > len(audio) and self._rules.reject_long_text:
            raise PromptError("the text of a spoken answer lasts longer than its sound")
        length = max(len(words), len(audio))
        words += [blank] * (length - len(words))
        audio += [blank] * (length - len(audio))
        for text_id, audio_id in zip(words, audio, strict=True):
            streams.append(text_id, audio_id)

    def _mark(self, streams: PromptStreams, control_id: int) -> None:
        """A control token stands in the audio stream over a blank."""
        streams.append(self._ids.text_blank, control_id)


def _asks_for_answer(last: Part) -> bool:
    """Whether the part that ends a turn is followed by the mark for the kind of answer."""
    return isinstance(last, AudioPart) or (isinstance(last, TextPart) and last.asks_for_answer)
