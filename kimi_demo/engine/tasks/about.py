"""What is written about sounds: captions, answers to questions, and choices among options."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import closing

from kimi_demo.audio import check_heard
from kimi_demo.engine.tasks.again import told_well
from kimi_demo.engine.tasks.chat import conversation
from kimi_demo.engine.tasks.stops import until
from kimi_demo.engine.tasks.turns import told
from kimi_demo.engine.tasks.words import in_language, unknown
from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.errors import InputError
from kimi_demo.events import Event, Weighed
from kimi_demo.intents import Ask, Caption, Choose
from kimi_demo.messages import AudioPart, Message, Option, TextPart
from kimi_demo.tasks import TaskTable


def caption(intent: Caption, tasks: TaskTable, run_turn: RunTurn) -> Generator[Event, None, None]:
    """A sentence about the sound. Raises: AudioError at once if it cannot be listened to."""
    sound = check_heard(intent.sound, tasks.max_audio_s)
    prompt = TextPart(in_language(tasks.caption_prompts, intent.language))
    turn = TurnRequest(
        (Message("user", (prompt, AudioPart(sound))),),
        "text",
        intent.sampling or tasks.listening_sampling,
        intent.seed,
        tasks.answer_limit.of(sound),
    )
    return told_well(run_turn, turn, tasks) if intent.again else told(run_turn, turn)


def ask(intent: Ask, tasks: TaskTable, run_turn: RunTurn) -> Generator[Event, None, None]:
    """The answer in writing. Raises: InputError or AudioError at once."""
    turn = _turn(intent, tasks)
    again = intent.again and intent.max_new_tokens is None
    events = told_well(run_turn, turn, tasks) if again else told(run_turn, turn)
    return until(events, intent.stops)


def choose(intent: Choose, tasks: TaskTable, run_turn: RunTurn) -> Generator[Event, None, None]:
    """How likely each option is, and the likeliest.

    Raises: InputError at once for an unknown task or unusable options; AudioError.
    """
    turn = _closed(intent, tasks) if intent.task else _turn(intent, tasks)
    options = turn.options or tuple(Option(option, option) for option in intent.options)
    weighing = dataclasses.replace(turn, options=options)
    return until(_labelled(told(run_turn, weighing), options), intent.stops)


def is_about_sound(message: Message) -> bool:
    """Whether words and sounds stand in it: then it asks about the sounds."""
    return {type(part) for part in message.parts} == {TextPart, AudioPart}


def _turn(intent: Ask | Choose, tasks: TaskTable) -> TurnRequest:
    """Where words come last, the mark follows them that else follows the sound."""
    messages, limit = conversation(intent, tasks), intent.max_new_tokens
    usual = tasks.chat_sampling
    if is_about_sound(intent.asked):
        usual = tasks.listening_sampling
        messages = _marked(messages)
        sounds = [part.audio for part in intent.asked.parts if isinstance(part, AudioPart)]
        most = sum(tasks.answer_limit.of(sound) for sound in sounds)
        limit = min(most, limit or most)
    return TurnRequest(messages, "text", intent.sampling or usual, intent.seed, limit)


def _marked(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    *before, last = messages
    *parts, part = last.parts
    if isinstance(part, TextPart):
        part = dataclasses.replace(part, asks_for_answer=True)
    return (*before, Message("user", (*parts, part)))


def _closed(intent: Choose, tasks: TaskTable) -> TurnRequest:
    """A question of the table, in its words."""
    if intent.task not in tasks.choices:
        raise unknown("task", intent.task, tasks.choices)
    words = "\n".join(part.text for part in intent.asked.parts if isinstance(part, TextPart))
    sounds = [part.audio for part in intent.asked.parts if isinstance(part, AudioPart)]
    if len(sounds) != 1:
        raise InputError(f"the task {intent.task!r} is about one sound: send one")
    choice = tasks.choices[intent.task].with_own(words, intent.options)
    sound = check_heard(sounds[0], tasks.max_audio_s)
    return TurnRequest(
        (Message("user", (TextPart(choice.prompt()), AudioPart(sound))),),
        "text",
        intent.sampling or tasks.listening_sampling,
        intent.seed,
        tasks.answer_limit.of(sound),
        choice.weighed(),
    )


def _labelled(
    events: Generator[Event, None, None], options: tuple[Option, ...]
) -> Generator[Event, None, None]:
    labels = tuple(option.label for option in options)
    with closing(events):
        for event in events:
            is_weighed = isinstance(event, Weighed)
            yield dataclasses.replace(event, options=labels) if is_weighed else event
