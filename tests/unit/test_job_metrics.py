"""What jobs do is counted, however they end."""

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.engine import job_metrics
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.job_metrics import JobMetrics
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.events import (
    AudioDelta,
    Finished,
    Queued,
    Started,
    Stepped,
    Stopwatch,
    TextDelta,
)
from kimi_demo.intents import Ask
from kimi_demo.metrics import Metrics

RATE = 24_000
INTENT = Ask.about(Audio(np.ones(8_000, np.float32), 16_000), "What is it?")
SOUND = AudioDelta(np.ones(RATE // 2, np.float32), RATE)
FINISHED = Finished("stop", 3, 1, 6)


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [100.0]
    monkeypatch.setattr(job_metrics.time, "monotonic", lambda: now[0])
    return now


def engine(metrics, script, pause_s=0.0):
    scripted = ScriptedEngine(script, Capabilities("scripted", "", "cpu", 1, RATE), pause_s)
    scripted.serve(metrics=metrics)
    return scripted


class Job:
    """A job whose events come when a test says so."""

    def __init__(self, metrics, clock):
        self.watch = Stopwatch(lambda: clock[0])
        self.meter = JobMetrics(INTENT, metrics, self.watch)
        self.counted = self.meter.counted()

    def take(self, *events):
        for event in events:
            self.meter.take(self.watch.take(event))


@pytest.fixture
def job(metrics, clock):
    return Job(metrics, clock)


def test_a_whole_answer_is_counted(metrics):
    script = [Started(3), Stepped(1, 0), TextDelta("a"), Stepped(1, 6), SOUND, FINISHED]
    list(engine(metrics, script).stream(INTENT))
    assert metrics.value("kimi_decode_steps_total") == 2
    assert metrics.value("kimi_audio_seconds_total", direction="in") == 0.5
    assert metrics.value("kimi_audio_seconds_total", direction="out") == 0.5
    assert metrics.value("kimi_requests_total", task="question", outcome="finished") == 1
    assert metrics.value("kimi_real_time_factor_count") == 1
    assert metrics.value("kimi_first_text_seconds_count") == 1
    assert metrics.value("kimi_first_audio_seconds_count") == 1
    assert metrics.value("kimi_active_streams") == metrics.value("kimi_queue_depth") == 0


def test_waiting_and_computing_are_told_apart(metrics, clock, job):
    with job.counted:
        job.take(Queued(1))
        assert metrics.value("kimi_queue_depth") == 1
        assert metrics.value("kimi_active_streams") == 0
        clock[0] += 2.0
        job.take(Queued(1), Queued(0))
        assert metrics.value("kimi_queue_depth") == 0
        assert metrics.value("kimi_active_streams") == 1
        clock[0] += 0.25
        job.take(SOUND, FINISHED)
    assert metrics.value("kimi_queue_wait_seconds_sum") == 2.0
    assert metrics.value("kimi_first_audio_seconds_sum") == 0.25
    assert metrics.value("kimi_real_time_factor_sum") == 0.5
    assert metrics.value("kimi_active_streams") == 0


def test_a_server_that_lets_us_wait_is_no_line_of_ours(metrics, job):
    with job.counted:
        job.take(Queued(0), Queued(1))
        assert metrics.value("kimi_queue_depth") == 0
        assert metrics.value("kimi_active_streams") == 1
    assert metrics.value("kimi_queue_depth") == metrics.value("kimi_active_streams") == 0


def test_sound_that_comes_too_late_is_an_underrun(metrics, clock, job):
    job.take(Queued(0), SOUND)
    clock[0] += 0.4
    job.take(SOUND)
    assert metrics.value("kimi_audio_underruns_total") == 0
    clock[0] += 0.7  # 1.1 s after the first of 1.0 s of sound
    job.take(SOUND)
    assert metrics.value("kimi_audio_underruns_total") == 1


def test_whoever_goes_away_is_counted_and_gone(metrics):
    served = engine(metrics, [Started(3), *[SOUND] * 100, FINISHED], pause_s=0.05)
    first, second = served.stream(INTENT), served.stream(INTENT)
    next(first), next(second)  # the one computes, the other waits
    assert metrics.value("kimi_queue_depth") == metrics.value("kimi_active_streams") == 1
    second.close()
    first.close()
    assert metrics.value("kimi_requests_total", task="question", outcome="cancelled") == 2
    assert metrics.value("kimi_active_streams") == metrics.value("kimi_queue_depth") == 0


def test_failures_are_counted_by_class(metrics):
    def broken(turn):
        raise EngineError("out of memory")

    with pytest.raises(EngineError):
        list(engine(metrics, broken).stream(INTENT))
    assert metrics.value("kimi_errors_total", error="EngineError") == 1
    assert metrics.value("kimi_requests_total", task="question", outcome="failed") == 1


def test_two_servers_do_not_add_up(metrics):
    list(engine(metrics, [SOUND, FINISHED]).stream(INTENT))
    assert Metrics().value("kimi_audio_seconds_total", direction="out") == 0
    assert b"kimi_audio_seconds_total" in metrics.exposition()
