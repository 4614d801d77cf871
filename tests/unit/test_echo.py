"""What the model writes down for itself of a question is no part of the answer."""

import pytest

from kimi_demo.engine.writing import WrittenAnswer
from kimi_demo.errors import CheckpointError
from kimi_demo.events import Finished, HeardDelta, StartedOver, TextDelta, Timings, collect
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import CONTROL_TOKENS, ECHO_TOKENS, Vocabulary

BYTES = {bytes([value]): value for value in range(256)}
PHONE = "<|phone_a|>"
TOKENIZER = TextTokenizer(BYTES, [*CONTROL_TOKENS.values(), *ECHO_TOKENS.values(), PHONE])
OFFSET = 300
IDS = Vocabulary.from_names(TOKENIZER.special_ids, OFFSET, OFFSET - 1)
PLAIN = Vocabulary.from_names(
    {name: TOKENIZER.special_ids[name] for name in CONTROL_TOKENS.values()}, OFFSET, OFFSET - 1
)
DONE = Finished("stop", 1, 1, 0, Timings(0.1, None, 0.2, 0.0))


def told(ids, vocabulary=IDS):
    """The deltas of these ids, those that follow each other joined."""
    written = WrittenAnswer(TOKENIZER, vocabulary)
    deltas = [delta for token in ids for delta in written.push(token)] + list(written.flush())
    assert all(delta.text for delta in deltas)
    joined = []
    for delta in deltas:
        if joined and type(joined[-1]) is type(delta):
            joined[-1] = type(delta)(joined[-1].text + delta.text)
        else:
            joined.append(delta)
    return joined


def echo(text):
    return [IDS.echo_begin, *text.encode(), IDS.echo_end]


def test_the_echo_is_told_apart_from_the_answer():
    phones = [TOKENIZER.special_ids[PHONE]] * 3
    ids = [*echo("几点了？"), *b"five.", *phones, IDS.text_blank]
    assert told(ids) == [HeardDelta("几点了？"), TextDelta("five.")]


def test_without_an_echo_all_is_answer():
    assert told(b"five.") == [TextDelta("five.")]
    assert told([IDS.echo_begin, IDS.echo_end, *b"five."]) == [TextDelta("five.")]


def test_an_echo_that_never_ends_is_all_echo():
    ids = [IDS.echo_begin, *b"what is", "好".encode()[0]]
    assert told(ids) == [HeardDelta("what is�")]
    answer = collect([*told(ids), DONE])
    assert (answer.heard, answer.text) == ("what is�", "")


def test_half_a_character_of_the_echo_does_not_reach_the_answer():
    ids = [IDS.echo_begin, *b"a", "好".encode()[0], IDS.echo_end, *"好".encode()]
    assert told(ids) == [HeardDelta("a�"), TextDelta("好")]


def test_a_stray_end_and_a_second_echo_break_nothing():
    assert told([IDS.echo_end, *b"a"]) == [TextDelta("a")]
    expected = [HeardDelta("a"), TextDelta("b"), HeardDelta("c"), TextDelta("d")]
    assert told([*echo("a"), *b"b", *echo("c"), *b"d"]) == expected


def test_only_some_checkpoints_have_the_marks():
    assert (PLAIN.echo_begin, PLAIN.echo_end) == (None, None)
    assert (IDS.echo_begin, IDS.echo_end) == tuple(
        TOKENIZER.special_ids[name] for name in ("<|echo_begin|>", "<|echo_end|>")
    )
    assert told(echo("ab"), PLAIN) == [TextDelta("ab")]


def test_one_mark_without_the_other_is_refused():
    ids = {name: n for n, name in enumerate([*CONTROL_TOKENS.values(), "<|echo_begin|>"])}
    with pytest.raises(CheckpointError, match=r"<\|echo_end\|>"):
        Vocabulary.from_names(ids, 100, 99)
    with pytest.raises(CheckpointError, match=r"first audio code, 10: <\|echo_end\|>"):
        Vocabulary.from_names({**ids, "<|echo_end|>": 10}, 10, 9)


def test_the_whole_answer_holds_both():
    heard = [HeardDelta(" what "), HeardDelta("time? ")]
    answer = collect([*heard, TextDelta("five."), DONE])
    assert (answer.heard, answer.text) == ("what time?", "five.")
    again = collect([*heard, TextDelta("six"), StartedOver(), HeardDelta("hi"), DONE])
    assert (again.heard, again.text) == ("hi", "")
