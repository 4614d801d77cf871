"""Who waits is told so, can go away, and is served in the order of arrival."""

import threading

import pytest

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.line import FIRST_GUESS_S
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineBusy
from kimi_demo.events import Finished, Queued, Started, Stepped
from kimi_demo.intents import Chat, Speak

INTENT = Chat.about("hello")
SCRIPT = (Started(3), Stepped(0, 0), Finished("stop", 3, 0, 0))


def engine(slots=1, max_waiting=2, pause_s=0.0, script=SCRIPT):
    capabilities = Capabilities("scripted", "", "cpu", 1, 24_000, slots=slots)
    scripted = ScriptedEngine(script, capabilities, pause_s)
    scripted.serve(max_waiting)
    return scripted


class Held:
    """A script that goes on only when a test says so."""

    def __init__(self):
        self.go_on = threading.Event()

    def __call__(self, turn):
        yield Started(3)
        while not self.go_on.wait(0.01):
            yield Stepped(0, 0)
        yield Finished("stop", 3, 0, 0)


@pytest.fixture
def held():
    script = Held()
    yield script
    script.go_on.set()


def until(job, wanted):
    """Reads up to an event that is wanted."""
    return next(event for event in job if event == wanted)


def test_whoever_comes_alone_is_served_at_once():
    kinds = [type(event) for event in engine().stream(INTENT)]
    assert kinds == [Queued, Started, Stepped, Finished]


def test_whoever_waits_is_told_how_many_are_ahead_and_how_long_that_may_take(held):
    line = engine(script=held)
    first, second, third = (line.start(INTENT).events() for _ in range(3))
    assert next(first) == Queued(0)
    waits = next(second), next(third)
    assert waits == (Queued(1), Queued(2))
    assert [queued.wait_s for queued in waits] == [FIRST_GUESS_S, 2 * FIRST_GUESS_S]
    held.go_on.set()
    until(second, Queued(0))
    until(third, Queued(0))


def test_places_are_those_of_arrival_whoever_reads_first(held):
    line = engine(script=held)
    first, second = line.start(INTENT), line.start(INTENT)
    assert next(second.events()) == Queued(1)
    assert next(first.events()) == Queued(0)
    first.cancel()


def test_whoever_goes_away_makes_room(held):
    line = engine(script=held)
    first, second, third = (line.start(INTENT) for _ in range(3))
    events = third.events()
    assert next(events) == Queued(2)
    second.cancel()
    until(events, Queued(1))
    first.cancel()
    until(events, Queued(0))


def test_a_full_line_says_when_to_come_back(held):
    line = engine(max_waiting=1, script=held)
    jobs = [line.start(INTENT), line.start(INTENT)]
    with pytest.raises(EngineBusy, match="try again in 3 s") as refused:
        line.start(INTENT)
    assert refused.value.retry_after_s == 3
    for job in jobs:
        job.cancel()
        job.join()
    held.go_on.set()
    assert isinstance(list(line.stream(INTENT))[-1], Finished)


def test_nobody_is_sent_away_for_longer_than_clients_wait(held):
    line = engine(max_waiting=40, script=held)
    jobs = [line.start(INTENT) for _ in range(41)]
    with pytest.raises(EngineBusy) as refused:
        line.start(INTENT)
    assert refused.value.retry_after_s == 60
    for job in jobs:
        job.cancel()


def test_a_long_text_is_one_job_that_nobody_overtakes_or_sends_away(held):
    """Its sentences are turns of one place in line, however full the line is by then."""
    line = engine(max_waiting=1, script=lambda turn: held(turn))
    reading = line.start(Speak("One. Two. Three."))
    other = line.start(INTENT)
    with pytest.raises(EngineBusy):
        line.start(INTENT)
    held.go_on.set()
    assert isinstance(list(reading.events())[-1], Finished)
    assert isinstance(list(other.events())[-1], Finished)
    texts = [turn.messages[-1].parts[0].text for turn in line.turns]
    assert [text.split()[-1] for text in texts] == ["One.", "Two.", "Three.", "hello"]


def test_as_many_are_served_at_once_as_there_are_slots(held):
    line = engine(slots=2, script=held)
    jobs = [line.start(INTENT) for _ in range(3)]
    readers = [job.events() for job in jobs]
    assert [next(reader) for reader in readers] == [Queued(0), Queued(0), Queued(1)]
    jobs[1].cancel()
    until(readers[2], Queued(0))


def test_a_failure_frees_its_slot():
    def broken(turn):
        raise RuntimeError("bug")

    line = engine(script=broken)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            list(line.stream(INTENT))


def test_many_are_served_in_their_order_one_at_a_time():
    running = []

    def script(turn):
        running.append(turn.seed)
        yield Stepped(0, 0)
        assert running[-1] == turn.seed
        yield Finished("stop", 3, 0, 0)

    line = engine(max_waiting=20, pause_s=0.005, script=script)
    jobs = [line.start(Chat.about("hello", seed=number)) for number in range(12)]
    for job in jobs:
        assert isinstance(list(job.events())[-1], Finished)
    assert running == list(range(12))
