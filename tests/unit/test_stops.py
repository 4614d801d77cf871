"""Answers end before a text that was named, however it is split over deltas."""

import numpy as np
import pytest

from kimi_demo.engine.tasks.stops import until
from kimi_demo.events import (
    AudioDelta,
    Finished,
    Started,
    StartedOver,
    Stepped,
    TextDelta,
)

DONE = Finished("length", 9, 4, 2, audio_codes=(5, 6))
SOUND = AudioDelta(np.ones(2400, np.float32), 24_000)


class Engine:
    """A stream that knows whether it was closed."""

    def __init__(self, *events):
        self.events = events
        self.taken = 0
        self.closed = False

    def stream(self):
        try:
            for event in self.events:
                self.taken += 1
                yield event
        finally:
            self.closed = True


def told(stops, *texts):
    events = [Started(9), *map(TextDelta, texts), DONE]
    found = list(until(Engine(*events).stream(), stops))
    return [event.text for event in found if isinstance(event, TextDelta)], found[-1]


@pytest.mark.parametrize(
    ("stops", "texts", "expected"),
    [
        (["."], ["a dog. a cat"], ["a dog"]),
        (["END"], ["one E", "N", "D two"], ["one "]),
        (["END"], ["one E", "N", "T two"], ["one ", "ENT two"]),
        (["END"], ["one EN"], ["one ", "EN"]),
        (["aab"], ["aaa", "ab"], ["a", "a"]),
        (["two", "ne"], ["one two"], ["o"]),
        (["x"], ["x"], []),
        (["犬"], ["猫と", "犬"], ["猫と"]),
        ([], ["one ", "two"], ["one ", "two"]),
    ],
)
def test_text_ends_before_a_stop(stops, texts, expected):
    found, last = told(stops, *texts)
    assert found == expected
    stopped = any(stop in "".join(texts) for stop in stops)
    assert (last.reason, last.audio_codes) == (("stop", ()) if stopped else ("length", (5, 6)))


def test_the_stream_is_closed_and_its_steps_are_counted():
    engine = Engine(
        Started(9), TextDelta("a"), Stepped(1, 0), SOUND, Stepped(2, 1), TextDelta("."), DONE
    )
    *before, last = until(engine.stream(), ["."])
    assert (engine.closed, engine.taken) == (True, 6)
    assert before[-2:] == [SOUND, Stepped(2, 1)]
    assert (last.prompt_tokens, last.text_tokens, last.audio_tokens) == (9, 2, 1)


def test_what_was_held_of_a_void_answer_is_void():
    again = [Started(9), TextDelta("aE"), Stepped(3, 0), StartedOver()]
    again += [TextDelta("Nb"), Stepped(1, 0), TextDelta("END")]
    found = list(until(Engine(*again).stream(), ["END"]))
    assert [event.text for event in found if isinstance(event, TextDelta)] == ["a", "Nb"]
    assert found[-1].text_tokens == 4


def test_closing_closes_the_stream():
    engine = Engine(Started(9), TextDelta("a"), DONE)
    events = until(engine.stream(), ["."])
    next(events)
    events.close()
    assert engine.closed
