"""Streams that nobody starts, or that change hands."""

import threading

import pytest

from kimi_demo.events import Started, collect

PATIENCE_S = 60


@pytest.fixture(scope="module")
def request_(engine):
    return engine.capabilities.tasks.speech("Good morning.", seed=1)


class Visitor(threading.Thread):
    """Reads a stream on a thread of its own."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream = stream
        self.answer = None
        self.start()

    def run(self):
        self.answer = collect(self.stream)

    def served(self):
        self.join(PATIENCE_S)
        return self.answer


def test_a_stream_nobody_started_holds_nothing(engine, request_):
    before = threading.active_count()
    engine.stream(request_).close()
    assert threading.active_count() == before
    assert collect(engine.stream(request_)).finished.reason


def test_an_answer_may_be_carried_on_by_another_thread(engine, request_):
    """A page draws each event on whichever worker thread is free."""
    stream = engine.stream(request_)
    assert isinstance(next(stream), Started)
    assert Visitor(stream).served().finished.reason
    assert collect(engine.stream(request_)).finished.reason
