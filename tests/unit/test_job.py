"""A job runs on a thread of its own, ahead of its reader, and ends when somebody says so."""

import threading
import time

import numpy as np
import pytest

from kimi_demo.engine import job as jobs
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.job import Job
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError, InputError
from kimi_demo.events import AudioDelta, Finished, Stepped
from kimi_demo.intents import Chat, Speak


class Source:
    """Events that tell whether they were closed, and on which threads they were made."""

    def __init__(self, count, failure=None, pause_s=0.0, event=None):
        self.count, self.failure, self.pause_s, self.event = count, failure, pause_s, event
        self.given, self.closed = 0, threading.Event()
        self.threads = set()

    def __call__(self):
        try:
            for number in range(self.count):
                self.threads.add(threading.current_thread())
                time.sleep(self.pause_s)
                self.given += 1
                yield self.event or Stepped(number, 0)
            if self.failure:
                raise self.failure
        finally:
            self.closed.set()


def eventually(condition, patience_s=5.0):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def test_all_comes_in_order_from_a_thread_of_its_own():
    source = Source(100)
    events = list(Job(source()).begin().events())
    assert [event.text_tokens for event in events] == list(range(100))
    assert source.closed.is_set()
    assert len(source.threads) == 1
    assert threading.main_thread() not in source.threads


def test_it_runs_ahead_of_its_reader():
    source = Source(50)
    events = Job(source()).begin().events()
    assert source.closed.wait(5)
    assert len(list(events)) == 50


def test_a_failure_comes_after_what_came_before_it():
    events = Job(Source(3, EngineError("broken"))()).begin().events()
    assert [next(events).text_tokens for _ in range(3)] == [0, 1, 2]
    with pytest.raises(EngineError, match="broken"):
        next(events)


def test_whoever_does_not_wait_is_woken_and_told_the_same():
    arrived = threading.Event()
    job = Job(Source(3, EngineError("broken"), pause_s=0.01)()).begin()
    job.listen(arrived.set)
    seen = []

    def read():
        while not (told := job.take())[1]:
            seen.extend(told[0])
            if not told[0]:
                assert arrived.wait(5)
                arrived.clear()

    with pytest.raises(EngineError, match="broken"):
        read()
    assert [event.text_tokens for event in seen] == [0, 1, 2]


def test_it_is_cancelled_from_another_thread_while_its_reader_waits():
    source = Source(10_000, pause_s=0.01)
    job = Job(source()).begin()
    threading.Timer(0.1, job.cancel).start()
    events = list(job.events())
    assert source.closed.wait(1)
    assert len(events) <= source.given < 100


def test_a_reader_that_leaves_cancels_it():
    source = Source(10_000, pause_s=0.01)
    events = Job(source()).begin().events()
    next(events)
    events.close()
    assert source.closed.wait(1)


def test_a_slow_reader_is_waited_for_only_when_much_is_unread_and_not_for_ever(monkeypatch):
    monkeypatch.setattr(jobs, "MAX_UNREAD_BYTES", 50_000)
    second = AudioDelta(np.ones(5_000, np.float32), 24_000)
    source = Source(1_000, event=second)
    events = Job(source()).begin().events()
    eventually(lambda: source.given == 3)
    time.sleep(0.1)
    assert source.given == 3
    next(events)
    eventually(lambda: source.given == 4)
    events.close()
    assert source.closed.wait(1)

    monkeypatch.setattr(jobs, "STALL_S", 0.1)
    left = Source(1_000, event=second)
    Job(left()).begin()
    assert left.closed.wait(5)
    assert left.given < 10


def endless(turn):
    while True:
        yield Stepped(0, 0)


def engine(script=endless, pause_s=0.01):
    return ScriptedEngine(script, Capabilities("m", "", "cpu", 0, 24_000), pause_s)


def test_closing_an_engine_ends_its_jobs_whoever_reads_them():
    """Even the thread that closes it, in the middle of a stream."""
    scripted = engine()
    stream = scripted.stream(Chat.about("hello"))
    next(event for event in stream if isinstance(event, Stepped))
    waiting = scripted.start(Chat.about("and I?"))
    closing = threading.Thread(target=scripted.close, daemon=True)
    closing.start()
    closing.join(5)
    assert not closing.is_alive()
    for events in (stream, waiting.events(), scripted.stream(Chat.about("late"))):
        with pytest.raises(EngineError, match="engine is closed"):
            list(events)
    assert scripted.endings == ["cancelled"]


def test_what_cannot_be_served_is_refused_before_it_stands_in_line():
    scripted = engine()
    with pytest.raises(InputError, match="nothing to say"):
        scripted.start(Speak("  "))
    with pytest.raises(InputError, match="nothing to say"):
        scripted.stream(Speak("  "))
    assert scripted.turns == []


def test_a_stream_nobody_reads_is_no_job():
    scripted = engine([Finished("stop", 1, 0, 0)])
    scripted.stream(Chat.about("hello")).close()
    assert scripted.turns == []
