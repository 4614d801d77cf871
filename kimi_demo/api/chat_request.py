"""What a chat request wants, as an intent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kimi_demo.api.aliases import check_voice
from kimi_demo.audio import Audio
from kimi_demo.engine.tasks.about import is_about_sound
from kimi_demo.engine.tasks.memory import exchanges, newest
from kimi_demo.errors import InputError, UnknownName
from kimi_demo.intents import Ask, Caption, Chat, Choose
from kimi_demo.messages import AudioPart, Message, OutputType, Sampling
from kimi_demo.tasks import TaskTable
from kimi_demo.voice_activity import without_silence
from kimi_demo.wire.chat import ChatRequest
from kimi_demo.wire.conversation import Finder, Spoken, instructions_in, messages_of, talk_in

MAX_CHOICE_CHARS = 1000  # each may be a step of the model


CAPTION = "caption"  # as `task`, beside the names of closed questions


@dataclass(frozen=True)
class Wanted:
    """An intent, and whether the sound of its answer goes out, too."""

    intent: Chat | Ask | Choose | Caption
    speaks: bool


def wanted_of(chat: ChatRequest, tasks: TaskTable, find: Finder) -> Wanted:
    """Reads a request.

    find: the spoken answer of an id. Raises: InputError, AudioError or UnknownName, which name the
    parameter.
    """
    speaks = _speaks(chat)
    limit, options = _limit(chat), _options(chat, speaks)
    messages = _messages(chat, tasks, find)
    about_sound = not speaks and is_about_sound(messages[-1])
    usual = tasks.listening_sampling if about_sound or chat.task else tasks.chat_sampling
    how: dict[str, Any] = {"sampling": _sampled(usual, chat), "seed": chat.seed or 0}
    # What a stream has told is not taken back, unless it can say so.
    again = chat.again is not False and (chat.progress or not chat.stream)
    if chat.task == CAPTION:
        return Wanted(Caption(_only_sound(messages), chat.language or "", again, **how), False)
    how |= {"instructions": instructions_in(chat.messages), "stops": _stops(chat)}
    how["max_new_tokens"] = limit
    if options or chat.task:
        return Wanted(Choose(messages, options=options, task=chat.task or "", **how), False)
    if about_sound:
        return Wanted(Ask(messages, again=again, **how), False)
    return Wanted(Chat(messages, output=_output(tasks, speaks), **how), speaks)


def unheeded(chat: ChatRequest, tasks: TaskTable) -> Mapping[str, object]:
    return {
        "system": not tasks.follows_instructions and instructions_in(chat.messages),
        "audio": chat.audio and not _asks_for_sound(chat),
        "stream_options": chat.stream_options and not chat.stream,
        "language": chat.language and chat.task != CAPTION,
    }


def _asks_for_sound(chat: ChatRequest) -> bool:
    return "audio" in (chat.modalities or ())


def _speaks(chat: ChatRequest) -> bool:
    """Whether the answer is to be spoken. Raises: InputError if not all is said for that."""
    if chat.modalities is not None and "text" not in chat.modalities:
        raise InputError(
            'every answer has words: modalities must be ["text"] or ["text", "audio"]', "modalities"
        )
    if not _asks_for_sound(chat):
        return False
    if chat.audio is None:
        raise InputError("audio must say voice and format of an answer that is spoken", "audio")
    check_voice(chat.audio.voice, "audio.voice")
    if chat.stream and chat.audio.format != "pcm16":
        raise InputError(
            f"audio.format must be pcm16 where stream is true, not {chat.audio.format}",
            "audio.format",
            "unsupported_value",
        )
    return True


def _limit(chat: ChatRequest) -> int | None:
    given = {chat.max_completion_tokens, chat.max_tokens} - {None}
    if len(given) > 1:
        raise InputError(
            "max_tokens is the older name of max_completion_tokens: give one", "max_tokens"
        )
    return given.pop() if given else None


def _options(chat: ChatRequest, speaks: bool) -> tuple[str, ...]:
    choices = chat.guided_choice or []
    if (choices or chat.task) and speaks:
        raise InputError(
            "a guided choice is made in writing: leave audio out of modalities", "guided_choice"
        )
    if len(set(choices)) < len(choices) or not all(choice.strip() for choice in choices):
        raise InputError("guided choices must differ, and none may be blank", "guided_choice")
    if sum(map(len, choices)) > MAX_CHOICE_CHARS:
        raise InputError(
            f"all guided choices together have at most {MAX_CHOICE_CHARS} characters",
            "guided_choice",
        )
    return tuple(choices)


def _stops(chat: ChatRequest) -> tuple[str, ...]:
    return (chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop or ())


def _messages(chat: ChatRequest, tasks: TaskTable, find: Finder) -> tuple[Message, ...]:
    """The conversation so far. Turns that the model would not be told anyway are not even read."""
    *earlier, last = newest(exchanges(talk_in(chat.messages)), tasks.memory.turns + 1)
    asked = messages_of(last, tasks.max_audio_s, find)
    history = _readable(earlier, tasks, find)
    if chat.task:  # the silence in a sound may be what it is about
        return (*history, *asked)
    return tuple(_trimmed(message) for message in (*history, *asked))


def _readable(
    turns: Sequence[Sequence[Spoken]], tasks: TaskTable, find: Finder
) -> tuple[Message, ...]:
    """The newest turns, back to one whose sound cannot be read: nobody can change it any more, and
    what was said before is forgotten with it. Raises: UnknownName for an answer that is not known.
    """
    read: tuple[Message, ...] = ()
    for turn in reversed(turns):
        try:
            read = (*messages_of(turn, tasks.max_audio_s, find), *read)
        except UnknownName:
            raise
        except InputError:
            break
    return read


def _trimmed(message: Message) -> Message:
    """A spoken question without the silence around it, as the page hears it."""
    match message.parts:
        case (AudioPart(sound),) if message.role == "user":
            return Message(message.role, (AudioPart(without_silence(sound)),))
        case _:
            return message


def _only_sound(messages: Sequence[Message]) -> Audio:
    sounds = [part.audio for part in messages[-1].parts if isinstance(part, AudioPart)]
    if len(sounds) != 1:
        raise InputError("a caption is about one sound: send one", "messages")
    return sounds[0]


def _output(tasks: TaskTable, speaks: bool) -> OutputType:
    """A model that can only speak its answers is asked to, whether or not anybody hears it."""
    if speaks and "both" not in tasks.reply_outputs:
        raise InputError("this model has not learned to speak its answers", "modalities")
    return "both" if speaks or "text" not in tasks.reply_outputs else "text"


def _sampled(sampling: Sampling, chat: ChatRequest) -> Sampling:
    """The checkpoint's own, but for what the request says of the words."""
    names = ("temperature", "top_k", "repetition_penalty")
    changes = {name: getattr(chat, name) for name in names if getattr(chat, name) is not None}
    return dataclasses.replace(sampling, text=dataclasses.replace(sampling.text, **changes))
