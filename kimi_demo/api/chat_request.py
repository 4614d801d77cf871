"""What a chat request asks of the model, and what is wanted of its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kimi_demo.api.aliases import check_voice
from kimi_demo.errors import InputError, UnknownName
from kimi_demo.messages import (
    AudioPart,
    Message,
    Option,
    OutputType,
    Request,
    Sampling,
    TextPart,
)
from kimi_demo.services.memory import exchanges, heard_seconds, newest, remembered
from kimi_demo.services.segments import without_silence
from kimi_demo.tasks import TaskTable
from kimi_demo.wire.chat import ChatRequest
from kimi_demo.wire.conversation import (
    Finder,
    Spoken,
    blamed,
    instructions_in,
    messages_of,
    talk_in,
)

MAX_CHOICE_CHARS = 1000  # each may be a step of the model


@dataclass(frozen=True)
class Wanted:
    """A request, and what of the answer goes out.

    speaks: the sound does, too. stops: texts before which the answer ends.
    may_ask_again: an answer that ran on may be asked for once more. heard_s: of the new question.
    """

    request: Request
    speaks: bool
    stops: tuple[str, ...]
    may_ask_again: bool
    heard_s: float


def wanted_of(chat: ChatRequest, tasks: TaskTable, find: Finder) -> Wanted:
    """Reads a request.

    find: the spoken answer of an id. Raises: InputError, AudioError or UnknownName, which name the
    parameter.
    """
    speaks = _speaks(chat)
    limit, options = _limit(chat), _options(chat, speaks)
    told, asked = _conversation(chat, tasks, find)
    about_sound = not speaks and _kinds(asked) == {TextPart, AudioPart}
    sampling = tasks.listening_sampling if about_sound else tasks.chat_sampling
    request = Request(
        told,
        _output(tasks, speaks, written=about_sound or bool(options)),
        _sampled(sampling, chat),
        chat.seed or 0,
        limit,
        options,
    )
    if about_sound:
        request = _question(request, asked, tasks)
    may_ask_again = about_sound and limit is None and not options
    return Wanted(request, speaks, _stops(chat), may_ask_again, heard_seconds([asked]))


def unheeded(chat: ChatRequest, tasks: TaskTable) -> Mapping[str, object]:
    """Parameters without effect here, by name."""
    return {
        "system": not tasks.follows_instructions and instructions_in(chat.messages),
        "audio": chat.audio and not _asks_for_sound(chat),
        "stream_options": chat.stream_options and not chat.stream,
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


def _options(chat: ChatRequest, speaks: bool) -> tuple[Option, ...]:
    choices = chat.guided_choice or []
    if choices and speaks:
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
    return tuple(Option(choice, choice) for choice in choices)


def _stops(chat: ChatRequest) -> tuple[str, ...]:
    return (chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop or ())


def _conversation(
    chat: ChatRequest, tasks: TaskTable, find: Finder
) -> tuple[tuple[Message, ...], Message]:
    """What the model is told, and of it the new question as it was put.

    Turns that it would not be told anyway are not even read.
    """
    *earlier, last = newest(exchanges(talk_in(chat.messages)), tasks.memory.turns + 1)
    (asked,) = map(_trimmed, messages_of(last, tasks, find))
    history = [_trimmed(message) for message in _readable(earlier, tasks, find)]
    with blamed("messages"):
        lead = _lead(instructions_in(chat.messages), tasks)
    told_again = remembered(history, (*lead, asked), tasks.memory)
    return _led_by(lead, (*told_again, asked)), asked


def _readable(
    turns: Sequence[Sequence[Spoken]], tasks: TaskTable, find: Finder
) -> tuple[Message, ...]:
    """The newest turns, back to one that cannot be read: nobody can change it any more, and what
    was said before is forgotten with it. Raises: UnknownName for an answer that is not known.
    """
    read: tuple[Message, ...] = ()
    for turn in reversed(turns):
        try:
            read = (*messages_of(turn, tasks, find), *read)
        except UnknownName:
            raise
        except InputError:
            break
    return read


def _trimmed(message: Message) -> Message:
    """A spoken question without the silence around it, as the page hears it."""
    match message.parts:
        case (AudioPart(sound),):
            return Message(message.role, (AudioPart(without_silence(sound)),))
    return message


def _lead(instructions: str, tasks: TaskTable) -> tuple[Message, ...]:
    """How to answer, in words of the user: the model knows no other speaker."""
    if not instructions or not tasks.follows_instructions:
        return ()
    return (Message("user", (TextPart(tasks.readable(instructions)),)),)


def _led_by(lead: tuple[Message, ...], messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The lead's words in front of the user's first ones."""
    words = tuple(part for message in lead for part in message.parts)
    first = next(n for n, message in enumerate(messages) if message.role == "user")
    led = Message("user", (*words, *messages[first].parts))
    return (*messages[:first], led, *messages[first + 1 :])


def _kinds(message: Message) -> set[type]:
    return {type(part) for part in message.parts}


def _output(tasks: TaskTable, speaks: bool, written: bool) -> OutputType:
    """A model that can only speak its answers is asked to, whether or not anybody hears it."""
    if speaks and "both" not in tasks.reply_outputs:
        raise InputError("this model has not learned to speak its answers", "modalities")
    return "both" if speaks or not (written or "text" in tasks.reply_outputs) else "text"


def _sampled(sampling: Sampling, chat: ChatRequest) -> Sampling:
    """The checkpoint's own, but for what the request says of the words."""
    names = ("temperature", "top_k", "repetition_penalty")
    changes = {name: getattr(chat, name) for name in names if getattr(chat, name) is not None}
    return dataclasses.replace(sampling, text=dataclasses.replace(sampling.text, **changes))


def _question(request: Request, asked: Message, tasks: TaskTable) -> Request:
    """A question about a sound: as `TaskTable.ask`, with as many parts as were sent.

    Where words come last, the mark follows them that else follows the sound.
    """
    sounds = [part.audio for part in asked.parts if isinstance(part, AudioPart)]
    limit = sum(tasks.answer_limit.of(sound) for sound in sounds)
    *before, last = request.messages
    part = last.parts[-1]
    if isinstance(part, TextPart):
        marked = dataclasses.replace(part, asks_for_answer=True)
        last = Message("user", (*last.parts[:-1], marked))
    return dataclasses.replace(
        request,
        messages=(*before, last),
        max_new_tokens=min(limit, request.max_new_tokens or limit),
        task="question",
    )
