"""Messages as they travel, read as they were typed and said."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio, check_heard
from kimi_demo.errors import InputError
from kimi_demo.messages import AudioPart, Message, Part, SpokenPart, TextPart
from kimi_demo.wire.chat import (
    AssistantMessage,
    AudioContent,
    ChatMessage,
    InputAudio,
    SystemMessage,
    TextContent,
    UserMessage,
)

Spoken = UserMessage | AssistantMessage
Finder = Callable[[str], SpokenPart]


@contextmanager
def blamed(param: str) -> Generator[None]:
    """What cannot be used in here is that parameter's fault, unless it has named one itself."""
    try:
        yield
    except InputError as exc:
        exc.param = exc.param or param
        raise


def instructions_in(messages: Iterable[ChatMessage]) -> str:
    """What system and developer say, wherever they say it; empty if they do not."""
    said = (_text(message.content) for message in messages if isinstance(message, SystemMessage))
    return "\n".join(filter(None, (words.strip() for words in said)))


def talk_in(messages: Iterable[ChatMessage]) -> list[Spoken]:
    """The messages of user and assistant.

    Raises: InputError unless the last one is the user's.
    """
    talk = [message for message in messages if not isinstance(message, SystemMessage)]
    if not talk or not isinstance(talk[-1], UserMessage):
        raise InputError(
            "the last message must be the user's: there is nothing to answer", param="messages"
        )
    return talk


def messages_of(talk: Sequence[Spoken], max_audio_s: float, find: Finder) -> tuple[Message, ...]:
    """The messages with their sounds; those of one role that follow each other are one.

    max_audio_s: of each turn of the user. find: the spoken answer of an id, see `AnswerStore.find`.
    Raises: InputError or AudioError for what cannot be read or heard, UnknownName from `find`.
    """
    with blamed("messages"):
        runs = (list(run) for _, run in groupby(talk, key=lambda message: message.role))
        messages = (_message(run, max_audio_s, find) for run in runs)
        return tuple(message for message in messages if message.parts)


def sounds_in(talk: Iterable[ChatMessage]) -> bool:
    """Whether there is any sound to be decoded."""
    users = (message for message in talk if isinstance(message, UserMessage))
    return any(isinstance(c, AudioContent) for message in users for c in _contents(message))


def _message(run: Sequence[Spoken], max_audio_s: float, find: Finder) -> Message:
    if isinstance(run[0], UserMessage):
        return Message("user", _asked(run, max_audio_s))
    return Message("assistant", tuple(part for message in run for part in _answers(message, find)))


def _answers(message: Spoken, find: Finder) -> Iterator[Part]:
    """An answer as it was spoken, else its words; none where these are blank."""
    assert isinstance(message, AssistantMessage)
    if message.audio is None and message.content is None:
        raise InputError("a message of the assistant has neither content nor audio: give one")
    spoken = find(message.audio.id) if message.audio else SpokenPart((), _text(message.content))
    if spoken.codes or spoken.id:
        yield spoken
    elif spoken.text.strip():
        yield TextPart(spoken.text)


def _asked(run: Iterable[Spoken], left_s: float) -> tuple[Part, ...]:
    """One turn of the user. Blank texts, which pages send beside a sound, say nothing; something
    must be said. left_s: how long its sounds may be together.
    """
    contents = [content for message in run for content in _contents(message)]
    said = [content for content in contents if not _is_blank(content)]
    parts: list[Part] = []
    for content in said or contents[:1]:
        if isinstance(content, AudioContent):
            sound = _sound(content.input_audio, left_s)
            parts.append(AudioPart(sound))
            left_s -= sound.duration_s
        else:
            parts.append(TextPart(content.text))
    return tuple(parts)


def _sound(sent: InputAudio, most_s: float) -> Audio:
    file = io.BytesIO(_bytes(sent.data))
    return check_heard(audio.decode(file, most_s, INPUT_SAMPLE_RATE), most_s)


def _is_blank(content: TextContent | AudioContent) -> bool:
    return isinstance(content, TextContent) and not content.text.strip()


def _contents(message: Spoken) -> Iterator[TextContent | AudioContent]:
    content = message.content or ""
    yield from [TextContent(type="text", text=content)] if isinstance(content, str) else content


def _bytes(data: str) -> bytes:
    """Raises: InputError; an address is refused, never asked."""
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as exc:
        raise InputError(
            "a sound is not in base64: send the bytes of its file so, with the padding, and no "
            "address",
            code="invalid_base64",
        ) from exc


def _text(content: str | Sequence[TextContent] | None) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content or ())
