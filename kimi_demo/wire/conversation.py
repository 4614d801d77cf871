"""Messages as they travel, read as those of the model."""

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
from kimi_demo.tasks import TaskTable
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


def messages_of(talk: Sequence[Spoken], tasks: TaskTable, find: Finder) -> tuple[Message, ...]:
    """The messages as the model reads them; those of one role that follow each other are one.

    find: the spoken answer of an id, see `AnswerStore.find`.
    Raises: InputError or AudioError for what cannot be read or heard, UnknownName from `find`.
    """
    with blamed("messages"):
        runs = (list(run) for _, run in groupby(talk, key=lambda message: message.role))
        messages = (_message(run, tasks, find) for run in runs)
        return tuple(message for message in messages if message.parts)


def _message(run: Sequence[Spoken], tasks: TaskTable, find: Finder) -> Message:
    if isinstance(run[0], UserMessage):
        return Message("user", _Asked(tasks).parts(run))
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


class _Asked:
    """Reads one turn of the user, which together may be as long as one request."""

    def __init__(self, tasks: TaskTable) -> None:
        self._tasks = tasks
        self._chars = 0
        self._left_s = tasks.max_audio_s
        choices = (choice.prompt() for choice in tasks.choices.values())
        self._own = {*tasks.caption_prompts.values(), *choices}  # read as they stand

    def parts(self, run: Iterable[Spoken]) -> tuple[Part, ...]:
        """Blank texts, which pages send beside a sound, say nothing; something must be said."""
        contents = [content for message in run for content in _contents(message)]
        said = [content for content in contents if not _is_blank(content)]
        return tuple(self._part(content) for content in said or contents[:1])

    def _part(self, content: TextContent | AudioContent) -> Part:
        if isinstance(content, AudioContent):
            return AudioPart(self._sound(content.input_audio))
        self._chars += len(content.text)
        if self._chars > self._tasks.max_text_chars:
            raise InputError(
                f"a turn has at most {self._tasks.max_text_chars} characters: shorten the text"
            )
        if content.text in self._own:
            return TextPart(content.text)
        return TextPart(self._tasks.readable(content.text))

    def _sound(self, sent: InputAudio) -> Audio:
        file = io.BytesIO(_bytes(sent.data))
        sound = check_heard(audio.decode(file, self._left_s, INPUT_SAMPLE_RATE), self._left_s)
        self._left_s -= sound.duration_s
        return sound


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
