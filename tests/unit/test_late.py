"""An engine that loads late: jobs wait for it, a failure is told and can be tried again."""

import logging
import subprocess
import sys
import threading
import time

import pytest

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.late import LateEngine, late_engine
from kimi_demo.errors import CheckpointError, EngineError, InputError
from kimi_demo.events import Finished, Started, TextDelta, collect
from kimi_demo.intents import Chat, Speak
from kimi_demo.options import ModelOptions

KNOWN = Capabilities("early", "", "cpu", 0, 24_000)
ASKED = Chat.about("hello", "text")


class Loaded:
    capabilities = Capabilities("late", "", "cpu", 7, 24_000)
    closed = False

    def run_turn(self, request):
        yield Started(1)
        yield TextDelta("hi")
        yield Finished("stop", 1, 1, 0)

    def close(self):
        self.closed = True


def until(condition, patience_s=10.0):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_jobs_wait_until_it_is_loaded():
    gate = threading.Event()

    def create():
        gate.wait(10)
        return Loaded()

    engine = LateEngine(KNOWN, create)
    answers: list = []
    asking = threading.Thread(target=lambda: answers.append(collect(engine.stream(ASKED))))
    asking.start()
    engine.load()
    assert (engine.status.phase, engine.capabilities.model) == ("loading", "early")
    asking.join(0.2)
    assert asking.is_alive()
    gate.set()
    asking.join(10)
    assert answers[0].text == "hi"
    assert (engine.status.phase, engine.capabilities.model) == ("ready", "late")
    engine.close()


def test_what_it_logs_meanwhile_is_its_progress():
    seen = []

    def create():
        logging.getLogger("kimi_demo.checkpoint").warning("language model: 30 % loaded")
        seen.append(engine.status.note)
        return Loaded()

    engine = LateEngine(KNOWN, create)
    engine.load()
    until(lambda: engine.status.phase == "ready")
    assert seen == ["language model: 30 % loaded"]


def test_a_failure_is_told_and_tried_again():
    tries = iter([CheckpointError("a file is missing: fetch it"), None])

    def create():
        failure = next(tries)
        if failure:
            raise failure
        return Loaded()

    engine = LateEngine(KNOWN, create)
    engine.load()
    until(lambda: engine.status.phase == "failed")
    assert engine.status.note == "a file is missing: fetch it"
    with pytest.raises(EngineError, match="fetch it"):
        collect(engine.stream(ASKED))
    engine.load()
    until(lambda: engine.status.phase == "ready")
    assert collect(engine.stream(ASKED)).text == "hi"


def test_closing_while_it_loads_frees_what_comes_of_it():
    gate, made = threading.Event(), Loaded()

    def create():
        gate.wait(10)
        return made

    engine = LateEngine(KNOWN, create)
    engine.load()
    engine.close()
    gate.set()
    until(lambda: made.closed)


def test_what_cannot_be_served_is_refused_before_it_is_loaded():
    engine = LateEngine(KNOWN, Loaded)
    with pytest.raises(InputError):
        engine.stream(Speak(""))


def test_nano_is_known_before_torch_is():
    code = (
        "import sys; from kimi_demo.engine.late import late_engine;"
        "from kimi_demo.options import ModelOptions;"
        "known = late_engine(ModelOptions()).capabilities;"
        "assert known.model == 'nano' and known.card and 'zh' in known.languages;"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_of_nothing_is_refused_at_once():
    with pytest.raises(CheckpointError, match="no checkpoint"):
        late_engine(ModelOptions("no-such-model"))


def test_the_first_job_loads_it_if_nobody_did():
    engine = LateEngine(KNOWN, Loaded)
    assert collect(engine.stream(ASKED)).text == "hi"
    assert engine.status.phase == "ready"
