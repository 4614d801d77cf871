"""Several visitors at one engine: they are served one after the other, and none blocks the rest."""

import threading

import pytest

from kimi_demo.events import Started, collect

PATIENCE_S = 60


@pytest.fixture(scope="module")
def request_(engine):
    return engine.capabilities.tasks.speech("Good morning.", seed=1)


class Visitor(threading.Thread):
    """Asks on a thread of its own; `first_only` stops after the first event."""

    def __init__(self, stream, first_only=False):
        super().__init__(daemon=True)
        self.stream = stream
        self.first_only = first_only
        self.answer = None
        self.start()

    def run(self):
        self.answer = next(self.stream) if self.first_only else collect(self.stream)

    def served(self):
        self.join(PATIENCE_S)
        return self.answer


def test_a_second_visitor_waits_and_is_served(engine, request_):
    alone = collect(engine.stream(request_))
    first = engine.stream(request_)
    assert isinstance(next(first), Started)
    second = Visitor(engine.stream(request_))
    second.join(0.5)
    assert second.is_alive()
    rest = collect(first)
    assert rest.finished.audio_codes == alone.finished.audio_codes
    assert second.served().finished.audio_codes == alone.finished.audio_codes


def test_a_stream_nobody_started_holds_nothing(engine, request_):
    before = threading.active_count()
    engine.stream(request_).close()
    assert threading.active_count() == before
    assert collect(engine.stream(request_)).finished.reason


def test_a_visitor_who_leaves_while_waiting_leaves_nothing_behind(engine, request_):
    before = threading.active_count()
    first = engine.stream(request_)
    next(first)
    waiting = engine.stream(request_)
    second = Visitor(waiting, first_only=True)
    second.join(0.3)
    with pytest.raises(ValueError, match="executing"):
        waiting.close()  # a page tries again when the step in work is over
    first.close()
    assert isinstance(second.served(), Started)
    waiting.close()
    assert threading.active_count() == before
    assert collect(engine.stream(request_)).finished.reason


def test_an_answer_may_be_carried_on_by_another_thread(engine, request_):
    """A page draws each event on whichever worker thread is free."""
    stream = engine.stream(request_)
    assert isinstance(next(stream), Started)
    assert Visitor(stream).served().finished.reason
    assert collect(engine.stream(request_)).finished.reason
