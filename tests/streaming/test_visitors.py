"""Several visitors at one engine: first come, first served, and who leaves is gone."""

import threading

import pytest

from kimi_demo.engine.factory import create_engine
from kimi_demo.events import Queued, Stepped, collect
from kimi_demo.intents import Speak
from kimi_demo.options import ModelOptions

INTENT = Speak("Good morning.", seed=1)
PATIENCE_S = 60


@pytest.fixture(scope="module")
def engine():
    """One that serves one job at a time, with its threads started."""
    built = create_engine(ModelOptions(device="cpu", slots=1))
    collect(built.stream(INTENT))
    yield built
    built.close()


def test_a_second_visitor_waits_and_is_served(engine):
    alone = collect(engine.stream(INTENT))
    first, second = engine.start(INTENT), engine.start(INTENT)
    events = second.events()
    assert next(events) == Queued(1)
    assert collect(first.events()).finished.audio_codes == alone.finished.audio_codes
    assert collect(events).finished.audio_codes == alone.finished.audio_codes


def test_a_stream_nobody_started_holds_nothing(engine):
    before = threading.active_count()
    engine.stream(INTENT).close()
    assert threading.active_count() == before
    assert collect(engine.stream(INTENT)).finished.reason


def test_visitors_who_leave_leave_nothing_behind(engine):
    before = threading.active_count()
    computed, waiting = engine.start(INTENT), engine.start(INTENT)
    next(event for event in computed.events() if isinstance(event, Stepped))
    waiting.cancel()
    computed.cancel()
    for job in (waiting, computed):
        job.join()
    assert threading.active_count() == before
    assert collect(engine.stream(INTENT)).finished.reason


def test_an_answer_may_be_carried_on_by_another_thread(engine):
    """A page draws each event on whichever worker thread is free."""
    stream, answers = engine.stream(INTENT), []
    next(stream)
    other = threading.Thread(target=lambda: answers.append(collect(stream)), daemon=True)
    other.start()
    other.join(PATIENCE_S)
    assert answers[0].finished.reason
