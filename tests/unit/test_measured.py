"""What an engine does is counted, however it ends."""

from contextlib import closing

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.engine import measured
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.measured import MeasuredEngine
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.events import AudioDelta, Finished, Queued, Started, Stepped, TextDelta, Timings
from kimi_demo.messages import AudioPart, Message, Request
from kimi_demo.metrics import Metrics

RATE = 24_000
HEARD = Audio(np.ones(8_000, np.float32), 16_000)
REQUEST = Request((Message("user", (AudioPart(HEARD),)),), task="question")
SOUND = AudioDelta(np.ones(RATE // 2, np.float32), RATE)
FINISHED = Finished("stop", 3, 1, 6, Timings(0.1, 0.2, 0.3, 1.0))


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [100.0]
    monkeypatch.setattr(measured.time, "monotonic", lambda: now[0])
    return now


def engine(metrics, script):
    capabilities = Capabilities("scripted", "", "cpu", 1, RATE)
    return MeasuredEngine(ScriptedEngine(script, capabilities), metrics)


def test_a_whole_answer_is_counted(metrics):
    script = [Queued(0), Started(3), Stepped(1, 0), TextDelta("a"), Stepped(1, 6), SOUND, FINISHED]
    list(engine(metrics, script).stream(REQUEST))
    assert metrics.value("kimi_decode_steps_total") == 2
    assert metrics.value("kimi_audio_seconds_total", direction="in") == 0.5
    assert metrics.value("kimi_audio_seconds_total", direction="out") == 0.5
    assert metrics.value("kimi_requests_total", task="question", outcome="finished") == 1
    assert metrics.value("kimi_real_time_factor_sum") == pytest.approx(0.3)
    assert metrics.value("kimi_first_text_seconds_count") == 1
    assert metrics.value("kimi_first_audio_seconds_count") == 1
    assert metrics.value("kimi_active_streams") == metrics.value("kimi_queue_depth") == 0


def test_waiting_and_computing_are_told_apart(metrics, clock):
    stream = engine(metrics, [Queued(1), Queued(1), Queued(0), SOUND, FINISHED]).stream(REQUEST)
    next(stream)
    assert metrics.value("kimi_queue_depth") == 1
    assert metrics.value("kimi_active_streams") == 0
    clock[0] += 2.0
    next(stream), next(stream)
    assert metrics.value("kimi_queue_depth") == 0
    assert metrics.value("kimi_active_streams") == 1
    clock[0] += 0.25
    list(stream)
    assert metrics.value("kimi_queue_wait_seconds_sum") == 2.0
    assert metrics.value("kimi_first_audio_seconds_sum") == 0.25
    assert metrics.value("kimi_active_streams") == 0


def test_a_server_that_lets_us_wait_is_no_line_of_ours(metrics):
    with closing(engine(metrics, [Queued(0), Queued(1), SOUND]).stream(REQUEST)) as stream:
        next(stream), next(stream)
        assert metrics.value("kimi_queue_depth") == 0
        assert metrics.value("kimi_active_streams") == 1
    assert metrics.value("kimi_queue_depth") == metrics.value("kimi_active_streams") == 0


def test_sound_that_comes_too_late_is_an_underrun(metrics, clock):
    stream = engine(metrics, [SOUND, SOUND, SOUND, FINISHED]).stream(REQUEST)
    next(stream)
    clock[0] += 0.4
    next(stream)
    assert metrics.value("kimi_audio_underruns_total") == 0
    clock[0] += 0.7  # 1.1 s after the first of 1.0 s of sound
    list(stream)
    assert metrics.value("kimi_audio_underruns_total") == 1


@pytest.mark.parametrize("events", [1, 2])
def test_whoever_goes_away_is_counted_and_gone(metrics, events):
    with closing(engine(metrics, [Queued(1), Started(3), SOUND]).stream(REQUEST)) as stream:
        for _ in range(events):
            next(stream)
    assert metrics.value("kimi_requests_total", task="question", outcome="cancelled") == 1
    assert metrics.value("kimi_active_streams") == metrics.value("kimi_queue_depth") == 0


def test_failures_are_counted_by_class(metrics):
    def broken(request):
        raise EngineError("out of memory")

    with pytest.raises(EngineError):
        list(engine(metrics, broken).stream(REQUEST))
    assert metrics.value("kimi_errors_total", error="EngineError") == 1
    assert metrics.value("kimi_requests_total", task="question", outcome="failed") == 1


def test_two_servers_do_not_add_up(metrics):
    list(engine(metrics, [SOUND, FINISHED]).stream(REQUEST))
    assert Metrics().value("kimi_audio_seconds_total", direction="out") == 0
    assert b"kimi_audio_seconds_total" in metrics.exposition()
