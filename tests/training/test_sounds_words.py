"""Captions, questions and answers."""

import numpy as np
import pytest

from kimi_demo.choices import MAX_OPTIONS
from training.sounds import EVENTS
from training.sounds.sources import NAMES, SOUNDS
from training.sounds.voices import SPEECH
from training.sounds.words import (
    HELD_OUT_WORDINGS,
    Content,
    caption,
    mandarin_caption,
    read_wordings,
    tasks_of,
)


@pytest.mark.parametrize(
    ("content", "english", "mandarin"),
    [
        (
            Content((("dog", 2), ("rain", 0)), "in turn"),
            "A dog barks twice, then rain falls.",
            "狗叫了两声，然后在下雨。",
        ),
        (
            Content((("engine", 0), ("dog", 0)), "together", scene="street"),
            "On a street, a dog barks and an engine runs.",
            "街上，狗在叫，发动机在响。",
        ),
        (
            Content((("woman speaking Mandarin", 0),), emotion="sad"),
            "A woman speaks Mandarin and sounds sad.",
            "一个女人在说中文，听起来很难过。",
        ),
        (Content((("beep", 1),)), "A device beeps once.", "滴滴响了一声。"),
    ],
)
def test_captions_read_as_people_write(content: Content, english: str, mandarin: str) -> None:
    assert caption(content) == english
    assert mandarin_caption(content) == mandarin


def _asked(content: Content, held_out: bool = False) -> dict[str, str]:
    """Question -> answer, over many draws."""
    rng = np.random.default_rng(1)
    draws = (tasks_of(rng, content, held_out) for _ in range(200))
    return {task.question: task.answer for tasks in draws for task in tasks if task.name == "ask"}


def test_questions_get_short_answers() -> None:
    asked = _asked(Content((("beep", 3), ("man speaking English", 0)), "in turn"))
    assert asked["How many beeps do you hear?"] == "Three."
    assert asked["滴滴响了几声？"] == "三声。"
    assert asked["Is someone speaking?"] == "Yes, a man."
    assert asked["What language is spoken?"] == "English."
    assert asked["Which sound comes first?"] == "A beep."
    assert asked["Is there an animal?"] == "No."
    nouns = {name.noun for name in NAMES.values()}
    wanted = {
        q[12:-1]: a for q, a in asked.items() if q[:12] == "Do you hear " and q[12:-1] in nouns
    }
    assert {noun for noun, answer in wanted.items() if answer == "Yes."} == {"a beep", "a man"}
    assert "No." in wanted.values()
    alone = _asked(Content((("beep", 3),)))
    assert alone["What do you hear?"] == "Three beeps."
    assert alone["Do you hear a beep?"] == "Yes."
    dog = _asked(Content((("dog", 2),)))
    assert dog["Is there an animal?"] == "Yes, a dog."
    assert dog["Which animal is it?"] == "A dog."


def test_wordings_of_the_evaluation_are_never_trained_on() -> None:
    contents = [
        Content((("dog", 2), ("man speaking English", 0)), "in turn"),
        Content((("piano", 0), ("applause", 0)), "together", scene="concert"),
        Content((("woman speaking Mandarin", 0),), emotion="happy"),
    ]
    for content in contents:
        trained, kept = ({q.casefold().rstrip("?.") for q in _asked(content, apart)}
                         for apart in (False, True))  # fmt: skip
        assert trained
        assert kept
        assert not trained & kept


def test_every_kind_of_question_has_wordings_left_to_train_on() -> None:
    for languages in read_wordings().values():
        for wordings in languages.values():
            assert len(set(wordings)) == len(wordings) > 1.5 * HELD_OUT_WORDINGS


def test_every_sound_has_a_name_and_events_fit_the_closed_question() -> None:
    assert set(NAMES) == {*SOUNDS, *SPEECH}
    assert len(EVENTS) <= MAX_OPTIONS
