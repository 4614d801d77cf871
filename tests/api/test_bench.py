"""What `bench-api` prints: when bytes came, beside when the model was done."""

import json

import numpy as np
import pytest

from kimi_demo.__main__ import main
from kimi_demo.api.bench import Calls, measure
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import AudioDelta, Finished, Started, Stepped, TextDelta, Timings
from kimi_demo.wire.speech import MEDIA_TYPES

SOUND = AudioDelta(np.random.default_rng(0).uniform(-0.5, 0.5, 12_000).astype(np.float32), 24_000)
ENDING = Finished("stop", 1, 1, 12, Timings(0.1, 0.1, 0.5, 1.0))
SCRIPT = [Started(1), TextDelta("hi"), SOUND, *[Stepped(1, 1)] * 10, SOUND, ENDING]


def scripted(pause_s):
    return ScriptedEngine(SCRIPT, Capabilities("scripted", "", "cpu", 1, 24_000), pause_s)


def test_bytes_come_before_the_last_token_in_every_format():
    found = measure(scripted(pause_s=0.02), Calls(text="hello", repeats=2))
    assert (found["model"], found["repeats"], found["text"]) == ("scripted", 2, "hello")
    assert list(found["speech"]) == list(MEDIA_TYPES)
    for figures in found["speech"].values():
        median = {key: spread["median"] for key, spread in figures.items()}
        assert 0 < median["first_byte_s"] < median["last_token_s"] < median["last_byte_s"]
        assert median["bytes"] > 1_000
        assert all(s["min"] <= s["median"] <= s["max"] for s in figures.values())
    chat = {key: spread["median"] for key, spread in found["chat"].items()}
    assert chat.keys() == {
        "first_transcript_s",
        "first_data_s",
        "last_token_s",
        "last_chunk_s",
    }
    assert chat["first_transcript_s"] <= chat["first_data_s"] < chat["last_token_s"]


def test_the_command_prints_one_object(monkeypatch, capsys):
    monkeypatch.setattr("kimi_demo.cli.common.open_engine", lambda *_: scripted(0.0))
    assert main(["bench-api", "--repeat", "1", "--text", "hello"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["speech"]["mp3"]["bytes"]["median"] > 0


def test_a_repeat_is_a_whole_number(capsys):
    with pytest.raises(SystemExit):
        main(["bench-api", "--repeat", "0"])
    assert "whole number" in capsys.readouterr().err
