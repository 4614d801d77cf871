"""Who waits is told so, can go away, and is served in the order of arrival."""

import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.shared import SharedEngine
from kimi_demo.errors import EngineBusy
from kimi_demo.events import Finished, Queued, Started, Stepped, Timings
from kimi_demo.messages import Message, Request, TextPart

REQUEST = Request((Message("user", (TextPart("hello"),)),))
FINISHED = Finished("stop", 3, 0, 0, Timings(None, None, 0.1, 0.0))
SCRIPT = (Started(3), Stepped(0, 0), FINISHED)


def engine(slots=1, max_waiting=2, pause_s=0.0, script=SCRIPT):
    capabilities = Capabilities("scripted", "", "cpu", 1, 24_000, slots=slots)
    return SharedEngine(ScriptedEngine(script, capabilities, pause_s), max_waiting)


def test_whoever_comes_alone_is_served_at_once():
    assert list(engine().stream(REQUEST)) == [Queued(0), Started(3), Stepped(0, 0), FINISHED]


def test_whoever_waits_is_told_how_many_are_ahead():
    shared = engine()
    with closing(shared.stream(REQUEST)) as first, closing(shared.stream(REQUEST)) as second:
        assert next(first) == Queued(0)
        assert [next(second), next(second)] == [Queued(1), Queued(1)]
        with closing(shared.stream(REQUEST)) as third:
            assert next(third) == Queued(2)
            list(first)
            assert next(second) == Queued(0)
            assert next(third) == Queued(1)


def test_whoever_goes_away_makes_room():
    shared = engine()
    first, second, third = (shared.stream(REQUEST) for _ in range(3))
    assert [next(first), next(second), next(third)] == [Queued(0), Queued(1), Queued(2)]
    second.close()
    assert next(third) == Queued(1)
    first.close()
    assert list(third)[-1] == FINISHED


def test_a_full_line_says_when_to_come_back():
    shared = engine(max_waiting=1)
    with closing(shared.stream(REQUEST)) as first, closing(shared.stream(REQUEST)) as second:
        next(first), next(second)
        with pytest.raises(EngineBusy, match="try again in 3 s") as refused:
            next(shared.stream(REQUEST))
        assert refused.value.retry_after_s == 3
    assert list(shared.stream(REQUEST))[-1] == FINISHED


def test_what_has_begun_is_not_sent_away():
    shared = engine(max_waiting=1)
    with closing(shared.stream(REQUEST)) as first, closing(shared.stream(REQUEST)) as second:
        next(first), next(second)
        with closing(shared.stream(replace(REQUEST, goes_on=True))) as part:
            assert next(part) == Queued(2)


def test_nobody_is_sent_away_for_longer_than_clients_wait():
    shared = engine(max_waiting=40)
    streams = [shared.stream(REQUEST) for _ in range(41)]
    for stream in streams:
        next(stream)
    with pytest.raises(EngineBusy) as refused:
        next(shared.stream(REQUEST))
    assert refused.value.retry_after_s == 60
    for stream in streams:
        stream.close()


def test_as_many_are_served_at_once_as_there_are_slots():
    shared = engine(slots=2)
    streams = [shared.stream(REQUEST) for _ in range(3)]
    assert [next(stream) for stream in streams] == [Queued(0), Queued(0), Queued(1)]
    streams[1].close()
    assert next(streams[2]) == Queued(0)
    for stream in streams:
        stream.close()


def test_a_failure_frees_its_slot():
    def broken(request):
        raise RuntimeError("bug")

    shared = engine(script=broken)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            list(shared.stream(REQUEST))


def test_many_threads_are_served_in_their_order_one_at_a_time():
    shared = engine(max_waiting=20, pause_s=0.005)
    served, running = [], []

    def ask(number):
        for event in shared.stream(REQUEST):
            if event == Queued(0):
                served.append(number)
                running.append(number)
            assert isinstance(event, Queued) or running == [number]
            if event == FINISHED:
                running.remove(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
        time.sleep(0.002)  # so that the order of arrival is known
    for thread in threads:
        thread.join(10)
    assert served == list(range(12))
