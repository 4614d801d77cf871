"""`chat`, from its arguments to files, lines and exit codes; the engine plays a script."""

import json

import numpy as np
import pytest
import soundfile

from kimi_demo.__main__ import main
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import AudioDelta, Finished, HeardDelta, Started, TextDelta
from kimi_demo.messages import AudioPart, SpokenPart, TextPart
from kimi_demo.tasks import TaskTable

RATE = 24_000
SOUND = (np.sin(np.arange(RATE) / 20) * 0.5).astype(np.float32)


def answer_by_number(request):
    """One second of sound under "answer N" for the N-th question."""
    number = sum(message.role == "user" for message in request.messages)
    spoken = request.output == "both"
    sound = [AudioDelta(SOUND, RATE)] if spoken else []
    codes = (number, 7) if spoken else ()
    done = Finished("stop", 9, 2, len(codes), audio_codes=codes)
    asked = request.messages[-1].parts[0]
    echo = [HeardDelta("what time "), HeardDelta("is it?")] if isinstance(asked, AudioPart) else []
    return [Started(9), *echo, TextDelta(f"answer {number}"), *sound, done]


@pytest.fixture
def engine(monkeypatch):
    tasks = TaskTable(max_text_chars=100)
    capabilities = Capabilities("nano", "", "cpu", 0, RATE, tasks=tasks)
    scripted = ScriptedEngine(answer_by_number, capabilities)
    monkeypatch.setattr("kimi_demo.engine.factory.create_engine", lambda options: scripted)
    monkeypatch.setattr(scripted, "close", lambda: None)  # asked by several commands
    return scripted


@pytest.fixture
def question(tmp_path):
    path = tmp_path / "question.wav"
    soundfile.write(path, SOUND, RATE)
    return str(path)


def test_turns_are_answered_in_their_order_with_what_came_before(
    engine, question, tmp_path, capsys
):
    out = tmp_path / "new" / "answers"
    turns = ["hello", question, "and now?"]
    assert main(["chat", *turns, "-o", str(out), "--json", "--seed", "3"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["text"] for r in results] == ["answer 1", "answer 2", "answer 3"]
    assert [r["asked"] for r in results] == turns
    assert [r["heard"] for r in results] == [None, "what time is it?", None]
    assert [r["wav"] for r in results] == [str(out / f"{n}.wav") for n in (1, 2, 3)]
    assert 0 <= results[0]["ttft_s"] <= results[0]["ttfa_s"] <= results[0]["rtf"]  # of one second
    assert results[0]["seed"] == 3
    for result in results:
        samples, rate = soundfile.read(result["wav"], dtype="float32")
        assert rate == RATE
        assert np.abs(samples - SOUND).max() < 1e-4
    parts = [message.parts[0] for message in engine.turns[-1].messages]
    assert [type(p) for p in parts] == [TextPart, SpokenPart, AudioPart, SpokenPart, TextPart]
    assert parts[1] == SpokenPart((1, 7), "answer 1")
    assert parts[2].audio.duration_s == pytest.approx(1.0)


def test_answers_in_writing_make_no_files(engine, tmp_path, capsys):
    out = tmp_path / "answers"
    assert main(["chat", "hello", "-o", str(out), "--text-only"]) == 0
    assert capsys.readouterr().out == "answer 1\n"
    assert list(out.iterdir()) == []


def test_a_spoken_question_is_printed_as_it_was_heard(engine, question, tmp_path, capsys):
    assert main(["chat", question, "-o", str(tmp_path / "answers"), "--text-only"]) == 0
    assert capsys.readouterr().out == "you (heard): what time is it?\nanswer 1\n"


@pytest.mark.parametrize(
    "turn", ["", "...", "a" * 101, "OUT/missing.wav", "OUT/broken.mp3", "OUT/silent.wav"]
)
def test_bad_input_is_one_clear_line_and_nothing_is_answered(engine, tmp_path, capsys, turn):
    (tmp_path / "broken.mp3").write_bytes(b"no sound")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    out = tmp_path / "answers"
    assert main(["chat", "hello", turn.replace("OUT", str(tmp_path)), "-o", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error: ")
    assert engine.turns == []
    assert not out.exists()


def test_a_folder_that_cannot_be_written_to_is_named(engine, question, capsys):
    assert main(["chat", "hello", "-o", question]) == 2
    assert "question.wav is no folder" in capsys.readouterr().err
    assert engine.turns == []
