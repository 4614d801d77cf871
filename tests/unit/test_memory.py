"""What of a conversation the model is told again."""

import pytest

from kimi_demo.engine.tasks.memory import exchanges, newest, remembered, seconds
from kimi_demo.messages import Message, SpokenPart, TextPart
from kimi_demo.tasks import Memory


def said(roles):
    """A second each."""
    names = {"u": "user", "a": "assistant"}
    return [
        Message(names[role], (SpokenPart((1,) * 12, str(n)), TextPart("." if n % 2 else "")))
        for n, role in enumerate(roles)
    ]


@pytest.mark.parametrize(
    ("roles", "sizes"),
    [("", []), ("u", [1]), ("uaua", [2, 2]), ("uuaau", [4, 1]), ("aua", [1, 2]), ("aa", [2])],
)
def test_an_exchange_begins_with_the_user(roles, sizes):
    messages = said(roles)
    found = exchanges(messages)
    assert [len(exchange) for exchange in found] == sizes
    assert [message for exchange in found for message in exchange] == messages


@pytest.mark.parametrize(
    ("memory", "kept"),
    [(Memory(9, 99), 6), (Memory(2, 99), 4), (Memory(0, 99), 0), (Memory(9, 5.5), 4)],
)
def test_the_newest_whole_turns_are_kept(memory, kept):
    history, asked = said("uauaua"), said("u")
    assert remembered(history, asked, memory) == tuple(history[6 - kept :])


def test_a_question_that_fills_the_memory_leaves_no_room():
    long = Message("user", (TextPart("x" * 100),))
    assert seconds([long]) == 8.0
    assert remembered(said("ua"), [long], Memory(8, 8.0)) == ()


def test_newest():
    assert newest([(1,), (2,)], 1) == [(2,)]
    assert newest([(1,), (2,)], 0) == []
    assert newest([(1,), (2,)], 5) == [(1,), (2,)]
