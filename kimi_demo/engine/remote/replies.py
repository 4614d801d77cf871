"""What a server says, as events. It is read leniently: others leave out what ours sends, and send
what ours does not; but what they do say must have the right type.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from kimi_demo.audio import OUTPUT_SAMPLE_RATE
from kimi_demo.errors import EngineError
from kimi_demo.events import (
    AudioDelta,
    Event,
    Finished,
    FinishReason,
    HeardDelta,
    Started,
    TextDelta,
    Weighed,
)
from kimi_demo.messages import CODES_PER_S, Option
from kimi_demo.wire.progress import Progress, event_of

_SCALE = 32767.0  # as `Audio.pcm16` writes it
_SAMPLE_BYTES = 2
_MARKED = re.compile(r"\s*(?:\((\w)\)|(\w)[).:])")  # "(B) joy", "B. joy", "B: joy"
_FRAME = " \t\n.,:;!()\"'*“”。"
_REASONS: dict[str, FinishReason] = {"length": "length", "loop": "loop"}


class TokenDetails(BaseModel):
    audio_tokens: int | None = None
    text_tokens: int | None = None


class Usage(BaseModel):
    """Tokens, under the names that chats and other endpoints have for them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None
    input_tokens: int | None = None
    input_token_details: TokenDetails | None = None
    output_tokens: int | None = None

    @property
    def read(self) -> int:
        """Of the prompt; 0 where nothing is said of it."""
        return self.prompt_tokens or self.input_tokens or 0

    @property
    def made(self) -> int:
        """Of the answer, text and sound; 0 where nothing is said of it."""
        return self.completion_tokens or self.output_tokens or 0

    @property
    def heard(self) -> int:
        """Of the prompt, as far as it was sound."""
        details = self.prompt_tokens_details or self.input_token_details
        return (details.audio_tokens or 0) if details else 0


class Ending(BaseModel):
    """The last event of a stream of speech or of a transcript; or a whole transcript."""

    text: str = ""
    usage: Usage | None = None
    finish_reason: str | None = None


class Increment(BaseModel):
    """Any event of such a stream."""

    type: str
    audio: str = ""
    delta: str = ""


class SpokenDelta(BaseModel):
    id: str | None = None
    transcript: str | None = None
    data: str | None = None


class ReplyDelta(BaseModel):
    content: str | None = None
    refusal: str | None = None
    audio: SpokenDelta | None = None
    heard: str | None = None


class Choice(BaseModel):
    delta: ReplyDelta = Field(default_factory=ReplyDelta)
    finish_reason: str | None = None


class ReplyChunk(BaseModel):
    choices: list[Choice] = Field(default_factory=list[Choice])
    usage: Usage | None = None
    choice_probabilities: list[float] | None = None
    progress: Progress | None = None


class ModelName(BaseModel):
    """A model that there is. about: what ours tell of themselves."""

    id: str = ""
    about: Any = None


class ModelNames(BaseModel):
    data: list[ModelName]


Model = TypeVar("Model", bound=BaseModel)


def read(kind: type[Model], value: Any) -> Model:
    """Raises: EngineError if something has a wrong type."""
    try:
        return kind.model_validate(value)
    except ValidationError as exc:
        found = exc.errors()[0]
        place = ".".join(map(str, found["loc"]))
        raise EngineError(
            f"the server's reply cannot be read at {place!r}: {found['msg']}"
        ) from exc


def reason(text: str | None) -> FinishReason:
    """What this code knows of the reasons that servers give."""
    return _REASONS.get(text or "", "stop")


class Sound:
    """Bytes as they come, read as sound: 24 kHz, 16 bit, mono, no header."""

    def __init__(self) -> None:
        self._half = b""
        self._samples = 0

    def push(self, content: bytes) -> Iterator[AudioDelta]:
        """Any number of bytes; half a sample waits for its other half."""
        content = self._half + content
        whole = len(content) - len(content) % _SAMPLE_BYTES
        self._half = content[whole:]
        if whole:
            waveform = np.frombuffer(content[:whole], "<i2").astype(np.float32) / _SCALE
            self._samples += len(waveform)
            yield AudioDelta(waveform.clip(-1.0, 1.0), OUTPUT_SAMPLE_RATE)

    def push_base64(self, text: str) -> Iterator[AudioDelta]:
        """Raises: EngineError if this is no base64."""
        try:
            yield from self.push(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as exc:
            raise EngineError("the server's sound cannot be read: it is no base64") from exc

    @property
    def tokens(self) -> int:
        return round(self._samples / OUTPUT_SAMPLE_RATE * CODES_PER_S)


def finished(ending: Ending, sound_tokens: int = 0) -> Finished:
    """The end of speech or of a transcript. Counts that the server does not tell are 0."""
    usage = ending.usage or Usage()
    audio = min(usage.made, sound_tokens)
    why = reason(ending.finish_reason)
    return Finished(why, usage.read, usage.made - audio, audio, heard_tokens=usage.heard)


class ChatAnswer:
    """A fold over the chunks of an answer. options: those of a closed question, whose answer is one
    of them where the reply names one; then nothing is told before the end, for the words are the
    server's, not the label.
    """

    def __init__(self, options: Sequence[Option] = ()) -> None:
        self._options = options
        self._sound = Sound()
        self._usage = Usage()
        self._reason: str | None = None
        self._audio_id = ""
        self._words: list[str] = []
        self._chances: list[float] = []
        self._started = False

    def take(self, chunk: ReplyChunk) -> Iterator[Event]:
        self._usage = chunk.usage or self._usage
        self._chances = chunk.choice_probabilities or self._chances
        if chunk.progress:
            yield event_of(chunk.progress)
        for choice in chunk.choices[:1]:
            if not self._started:
                self._started = True
                yield Started(0)
            self._reason = choice.finish_reason or self._reason
            yield from self._told(choice.delta)

    def ending(self) -> Iterator[Event]:
        """What is left once the stream has ended. Raises: EngineError if it broke off."""
        if self._reason is None:
            raise EngineError("the server's answer broke off: send the request again")
        if self._options:
            yield from self._chosen()
        yield self._finished()

    def _told(self, delta: ReplyDelta) -> Iterator[Event]:
        audio = delta.audio or SpokenDelta()
        self._audio_id = audio.id or self._audio_id
        yield from map(HeardDelta, filter(None, [delta.heard]))
        words = [delta.content or delta.refusal or "", audio.transcript or ""]
        if self._options:
            self._words += words
        else:
            yield from map(TextDelta, filter(None, words))
        yield from self._sound.push_base64(audio.data or "")

    def _chosen(self) -> Iterator[Event]:
        """How likely each option is, if the server says so, and the answer."""
        labels = tuple(option.label for option in self._options)
        if self._chances:
            if len(self._chances) != len(labels):
                raise EngineError("the server weighed other options than these: ask again")
            yield Weighed(tuple(self._chances), labels)
            yield TextDelta(labels[self._chances.index(max(self._chances))])
            return
        words = "".join(self._words).strip()
        yield from map(TextDelta, filter(None, [label_of(words, self._options) or words]))

    def _finished(self) -> Finished:
        usage, details = self._usage, self._usage.completion_tokens_details
        audio = (details.audio_tokens or 0) if details else 0
        text = details.text_tokens if details else None
        return Finished(
            reason(self._reason),
            usage.read,
            usage.made - audio if text is None else text,
            audio,
            audio_id=self._audio_id,
            heard_tokens=usage.heard,
        )


def label_of(words: str, options: Sequence[Option]) -> str | None:
    """The label of the option that a reply names by letter or label, in whatever case; None if it
    names none, or several.
    """
    said = _plain(words)
    for option in options:
        if said in (_plain(option.answer), _plain(option.label)):
            return option.label
    if (marked := _MARKED.match(words)) and (letter := _plain(marked[1] or marked[2])):
        for option in options:
            if letter == _plain(option.answer):
                return option.label
    named = [option.label for option in options if _names(said, _plain(option.label))]
    return named[0] if len(named) == 1 else None


def _plain(text: str) -> str:
    return text.strip(_FRAME).casefold()


def _names(said: str, label: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", said) is not None
