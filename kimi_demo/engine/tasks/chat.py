"""Conversations: the next answer, and what of all before the model is told again for it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from kimi_demo.audio import check_heard
from kimi_demo.engine.tasks.memory import exchanges, newest, remembered
from kimi_demo.engine.tasks.stops import until
from kimi_demo.engine.tasks.turns import told
from kimi_demo.engine.tasks.words import readable
from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.errors import InputError
from kimi_demo.events import Event
from kimi_demo.intents import Ask, Chat, Choose
from kimi_demo.messages import AudioPart, Message, Part, TextPart
from kimi_demo.tasks import TaskTable


def chat(intent: Chat, tasks: TaskTable, run_turn: RunTurn) -> Generator[Event, None, None]:
    """The answer to the last message.

    Raises: InputError or AudioError at once if there is nothing in it that can be answered, or not
    in this way.
    """
    if intent.output not in tasks.reply_outputs:
        known = " or ".join(tasks.reply_outputs)
        raise InputError(f"this model has not learned such answers: output must be {known}")
    turn = TurnRequest(
        conversation(intent, tasks),
        intent.output,
        intent.sampling or tasks.chat_sampling,
        intent.seed,
        intent.max_new_tokens,
    )
    return until(told(run_turn, turn), intent.stops)


def conversation(intent: Chat | Ask | Choose, tasks: TaskTable) -> tuple[Message, ...]:
    """What the model is told: as much of the history as it remembers, then the question.

    Raises: InputError or AudioError for a question or instructions that cannot be read.
    """
    asked = read(intent.asked, tasks)
    lead = _lead(intent.instructions, tasks)
    history = _readable(exchanges(intent.messages[:-1]), tasks)
    told_again = remembered(history, (*lead, asked), tasks.memory)
    return _led_by(lead, (*told_again, asked))


def read(message: Message, tasks: TaskTable) -> Message:
    """A turn of the user as the model reads it, which together is no longer than one request.

    Raises: InputError or AudioError if that is not possible.
    """
    chars = sum(len(part.text) for part in message.parts if isinstance(part, TextPart))
    if chars > tasks.max_text_chars and len(message.parts) > 1:
        raise InputError(f"a turn has at most {tasks.max_text_chars} characters: shorten the text")
    parts: list[Part] = []
    left_s = tasks.max_audio_s
    for part in message.parts:
        if isinstance(part, AudioPart):
            left_s -= check_heard(part.audio, left_s).duration_s
        parts.append(_read(part, tasks))
    return Message("user", tuple(parts))


def _read(part: Part, tasks: TaskTable) -> Part:
    return TextPart(readable(tasks, part.text)) if isinstance(part, TextPart) else part


def _readable(turns: Sequence[tuple[Message, ...]], tasks: TaskTable) -> tuple[Message, ...]:
    """The newest turns, back to one that cannot be read: nobody can change it any more, and what
    was said before is forgotten with it."""
    found: tuple[Message, ...] = ()
    for turn in reversed(newest(turns, tasks.memory.turns)):
        try:
            found = (*(m if m.role == "assistant" else read(m, tasks) for m in turn), *found)
        except InputError:
            break
    return found


def _lead(instructions: str, tasks: TaskTable) -> tuple[Message, ...]:
    """How to answer, in words of the user: the model knows no other speaker."""
    if not instructions or not tasks.follows_instructions:
        return ()
    return (Message("user", (TextPart(readable(tasks, instructions)),)),)


def _led_by(lead: Iterable[Message], messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The lead's words in front of the user's first ones."""
    words = tuple(part for message in lead for part in message.parts)
    first = next(n for n, message in enumerate(messages) if message.role == "user")
    led = Message("user", (*words, *messages[first].parts))
    return (*messages[:first], led, *messages[first + 1 :])
