"""The answer is the fold of the stream; the scripted engine plays and remembers."""

import numpy as np
import pytest

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.events import (
    AudioDelta,
    Finished,
    Queued,
    Started,
    Stopwatch,
    TextDelta,
    Timings,
    collect,
)
from kimi_demo.intents import Chat

CAPABILITIES = Capabilities("script", "a script", "cpu", 0, 24_000)
INTENT = Chat.about("hi")
FINISHED = Finished("stop", 3, 2, 4, Timings(0.1, 0.2, 1.0, 2.0))


def script():
    return [
        Started(3),
        TextDelta("he"),
        AudioDelta(np.array([0.1, 0.2], np.float32), 24_000),
        TextDelta("llo"),
        AudioDelta(np.array([0.3], np.float32), 24_000),
        FINISHED,
    ]


def test_an_answer_is_the_fold_of_its_events():
    answer = collect(script())
    assert answer.text == "hello"
    assert answer.waveform.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert answer.sample_rate == 24_000
    assert answer.finished is FINISHED


def test_a_written_answer_has_no_sound():
    answer = collect([Started(1), TextDelta("yes"), FINISHED])
    assert answer.waveform.shape == (0,)
    assert answer.waveform.dtype == np.float32


def test_a_stream_that_breaks_off_is_an_error():
    with pytest.raises(EngineError, match="broke off"):
        collect(script()[:-1])


def test_the_real_time_factor_needs_sound():
    assert FINISHED.timings.rtf == 0.5
    assert Timings(0.1, None, 1.0, 0.0).rtf is None


def test_a_stopwatch_counts_from_the_moment_at_which_nobody_is_ahead():
    now = [10.0]
    watch = Stopwatch(lambda: now[0])

    def take(event, at):
        now[0] = at
        return watch.take(event)

    take(Queued(1), 12.0)
    take(Queued(0), 15.0)
    take(Queued(0), 15.5)  # an engine that has nothing to tell yet
    take(AudioDelta(np.zeros(24_000, np.float32), 24_000), 15.6)  # a pause
    take(TextDelta("a"), 16.0)
    take(AudioDelta(np.ones(12_000, np.float32), 24_000), 17.0)
    take(TextDelta("b"), 17.5)
    finished = take(Finished("stop", 1, 2, 3), 18.0)
    assert finished == Finished("stop", 1, 2, 3, Timings(1.0, 2.0, 3.0, 1.5))


def test_the_scripted_engine_plays_its_script_and_remembers():
    engine = ScriptedEngine(script(), CAPABILITIES)
    assert collect(engine.stream(INTENT)).text == "hello"
    assert engine.intents == [INTENT]
    assert [turn.messages for turn in engine.turns] == [INTENT.messages]
    assert engine.endings == ["finished"]


def test_a_script_may_depend_on_the_request():
    def echo(request):
        return [TextDelta(request.messages[0].parts[0].text), FINISHED]

    engine = ScriptedEngine(echo, CAPABILITIES)
    assert collect(engine.stream(INTENT)).text == "hi"


def test_closing_the_stream_cancels():
    engine = ScriptedEngine(script(), CAPABILITIES, pause_s=0.05)
    stream = engine.stream(INTENT)
    assert any(isinstance(event, TextDelta) for event in stream)
    stream.close()
    assert engine.endings == ["cancelled"]
