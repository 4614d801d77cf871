"""`describe`, from its arguments to its lines and exit codes; the engine plays a script."""

import json

import numpy as np
import pytest
import soundfile

from kimi_demo.__main__ import main
from kimi_demo.choices import ChoiceTask
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import Finished, Started, TextDelta, Weighed
from kimi_demo.tasks import TaskTable

RATE = 16_000
TASKS = TaskTable(choices={"emotion": ChoiceTask("How does it sound?", ("happy", "sad"))})


def answer(request):
    """Four to one for the second option; a sentence for an open question."""
    end = Finished("stop", 7, 3, 0)
    if request.options:
        label = request.options[1].label
        return [Started(7), Weighed((0.2, 0.8)), TextDelta(label), end]
    return [Started(7), TextDelta("a dog "), TextDelta("barks."), end]


@pytest.fixture
def engine(monkeypatch):
    """Stands behind the factory."""
    capabilities = Capabilities("nano", "", "cpu", 0, 24_000, tasks=TASKS)
    scripted = ScriptedEngine(answer, capabilities)
    monkeypatch.setattr("kimi_demo.engine.factory.create_engine", lambda options: scripted)
    monkeypatch.setattr(scripted, "close", lambda: None)  # asked by several commands
    return scripted


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.sin(np.arange(2 * RATE) / 9) * 0.5, RATE)
    return str(path)


def prompt(engine):
    return engine.turns[-1].messages[0].parts[0].text


def test_a_caption_is_the_default(engine, sound, capsys):
    assert main(["describe", sound]) == 0
    assert capsys.readouterr().out == "a dog barks.\n"
    assert prompt(engine) == TASKS.caption_prompts[""]
    assert main(["describe", sound, "--language", "zh"]) == 0
    assert prompt(engine) == TASKS.caption_prompts["zh"]


def test_an_open_question_is_put(engine, sound, capsys):
    assert main(["describe", sound, "--task", "ask", "--question", "what is it?", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["task"], result["text"], result["options"]) == ("ask", "a dog barks.", {})
    assert (result["audio_s"], result["text_tokens"]) == (2.0, 3)
    assert 0 <= result["ttft_s"] <= 2 * result["rtf"] + 0.002
    assert prompt(engine) == "what is it?"


def test_a_closed_question_has_probabilities(engine, sound, capsys):
    assert main(["describe", sound, "--task", "emotion", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["text"], result["options"]) == ("sad", {"happy": 0.2, "sad": 0.8})
    assert main(["describe", sound, "--task", "emotion", "--options", "calm, wild"]) == 0
    assert capsys.readouterr().out.splitlines() == ["wild", " 80.0 %  wild", " 20.0 %  calm"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.wav"], "cannot be read"),
        (["SOUND", "--task", "taste"], "caption, ask, emotion"),
        (["SOUND", "--task", "ask"], "needs a --question"),
        (["SOUND", "--task", "ask", "--question", "?!"], "nothing in this text"),
        (["SOUND", "--question", "what?"], "--task ask"),
        (["SOUND", "--options", "a,b"], "closed question"),
        (["SOUND", "--task", "emotion", "--options", "one"], "between 2 and 26"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(engine, sound, capsys, arguments, reason):
    assert main(["describe", *[sound if a == "SOUND" else a for a in arguments]]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert reason in line
