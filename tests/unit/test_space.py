"""The same app on a Space: by the rules of ZeroGPU, which a stand-in for `spaces` enforces."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

from kimi_demo.audio import Audio
from kimi_demo.checkpoint import hub
from kimi_demo.intents import Speak, Transcribe
from kimi_demo.options import ModelOptions
from kimi_demo.space import adapted, on_lent_gpu, seconds_for, why_no_api

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "zero_gpu"

SPEAK = """
import app, os, spaces
from kimi_demo import space
from kimi_demo.engine.factory import create_engine
from kimi_demo.errors import InputError
from kimi_demo.events import AudioDelta, collect
from kimi_demo.intents import Speak
from kimi_demo.options import ModelOptions

assert space.adapted(ModelOptions()) == ModelOptions(device="cuda", max_memory=space.LENT_MEMORY)
engine = space.on_lent_gpu(create_engine(ModelOptions(device="cpu")))
answer = collect(engine.stream(Speak("hello there.")))
assert len(answer.waveform) > 12_000, answer
assert answer.finished.reason == "stop"
assert spaces.durations == [space.seconds_for(Speak("hello there."))]
stream = engine.stream(Speak("the cat sleeps."))
assert any(isinstance(event, AudioDelta) for event in stream)  # and then the visitor leaves
stream.close()
print("spoken")
"""
FAIL = """
from kimi_demo import space
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.intents import Chat

def broken(request):
    raise EngineError("out of memory: send a shorter request")
    yield

from kimi_demo.engine.base import Capabilities
engine = space.on_lent_gpu(ScriptedEngine(broken, Capabilities("x", "", "cpu", 0, 24_000)))
try:
    list(engine.stream(Chat.about("hi")))
except EngineError as exc:
    print(exc)
"""


def on_space(program: str) -> str:
    environ = {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": str(STAND_IN)}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_readme_describes_the_space():
    _, header, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    space = yaml.safe_load(header)
    assert space["sdk"] == "gradio"
    assert (ROOT / space["app_file"]).is_file()
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    line = next(line for line in requirements if line.startswith("gradio>"))
    gradio = Requirement(line.partition("#")[0])
    assert gradio.specifier.contains(space["sdk_version"])
    assert tuple(map(int, space["python_version"].split("."))) >= (3, 11)
    assert hub.RELEASE in space["models"]


@pytest.mark.slow
def test_speech_crosses_from_the_process_with_the_gpu():
    assert on_space(SPEAK).strip() == "spoken"


def test_an_error_in_that_process_is_the_same_error_here():
    assert "out of memory" in on_space(FAIL)


@pytest.mark.slow
def test_torch_before_spaces_is_refused():
    with pytest.raises(AssertionError, match="before importing the `spaces` package"):
        on_space("import torch\nfrom kimi_demo import space")


SERVE = """
import app
from kimi_demo.api.health import _ready
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.options import RemoteOptions
from kimi_demo.settings import Settings

app.open_engine = lambda *_: ScriptedEngine([], Capabilities("x", "", "cpu", 0, 24_000))
here = app.serve(Settings())
elsewhere = app.serve(Settings(remote=RemoteOptions("http://server/v1")))
print(_ready(here, None).status_code, here.away, _ready(elsewhere, None).status_code)
"""


@pytest.mark.slow
def test_the_api_says_that_it_has_no_gpu_unless_a_server_computes():
    words = on_space(SERVE).split()
    assert (words[0], words[-1]) == ("503", "200")
    assert "GPU" in words


def test_at_home_nothing_changes():
    engine = object()
    assert why_no_api() == ""
    assert on_lent_gpu(engine) is engine
    assert adapted(ModelOptions()) == ModelOptions()


def test_longer_requests_ask_for_more_and_none_for_too_much():
    sound = Audio(np.sin(np.arange(16_000 * 100) / 9).astype(np.float32), 16_000)
    short, long = (seconds_for(Speak(text)) for text in ("hi.", "word " * 120))
    heard = seconds_for(Transcribe(sound))
    assert 10 < short < long <= 120
    assert seconds_for(Transcribe(Audio(sound.waveform[:16_000], 16_000))) < heard < long
