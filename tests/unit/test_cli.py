"""The commands, from their arguments to files, lines and exit codes; the engine plays a script."""

import argparse
import importlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from kimi_demo import audio
from kimi_demo.__main__ import COMMAND_LINE, main
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import CheckpointError
from kimi_demo.events import AudioDelta, Finished, Started, TextDelta
from kimi_demo.tasks import TaskTable
from tests.voice import silence, voice
from training.__main__ import COMMAND_LINE as TRAINING

RATE = 24_000
SOUND = np.sin(np.arange(RATE // 2) / 20).astype(np.float32) * 0.5


def speak_or_write(request):
    """Half a second of sound for speech; "ni hao 你好" for a transcription."""
    spoken = request.output == "both"
    if spoken and "silence" in request.messages[0].parts[0].text:
        return [Started(4), Finished("stop", 4, 0, 0)]
    answer = AudioDelta(SOUND, RATE) if spoken else TextDelta("ni hao 你好")
    return [Started(11), answer, Finished("stop", 11, 2, 6 if spoken else 0)]


@pytest.fixture
def engine(monkeypatch):
    """Stands behind the factory; its `chosen` tells which model a command asked for."""
    tasks = TaskTable(max_text_chars=100)
    capabilities = Capabilities("nano", "", "cpu", 0, RATE, ("en", "zh"), tasks)
    scripted = ScriptedEngine(speak_or_write, capabilities)
    scripted.chosen = None

    def create_engine(options):
        if options.model == "unknown":
            raise CheckpointError("there is no model named unknown")
        scripted.chosen = (options.model, options.device)
        return scripted

    monkeypatch.setattr("kimi_demo.engine.factory.create_engine", create_engine)
    monkeypatch.setattr(scripted, "close", lambda: None)  # asked by several commands
    return scripted


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording.wav"
    soundfile.write(path, voice(2.0, RATE), RATE)
    return path


@pytest.fixture
def two_sentences(tmp_path):
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([voice(1), silence(1), voice(1)]), 16_000)
    return path


def json_lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_say_writes_the_sound_and_says_how_long_it_took(engine, tmp_path, capsys):
    out = tmp_path / "new" / "out.wav"
    assert main(["say", "Hello there.", "-o", str(out), "--seed", "3"]) == 0
    samples, rate = soundfile.read(out, dtype="float32")
    assert rate == RATE
    assert np.abs(samples - SOUND).max() < 1e-4
    (request,) = engine.turns
    assert request.seed == 3
    assert request.messages[0].parts[0].text.endswith("Hello there.")
    assert engine.chosen == ("nano", "auto")
    assert f"{out}: 0.50 s of sound, the first after 0." in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus", "aac", "FLAC", "wav"])
def test_say_writes_what_the_name_of_the_file_says(engine, tmp_path, suffix):
    out = tmp_path / f"out.{suffix}"
    assert main(["say", "Hello there.", "-o", str(out)]) == 0
    whole = tmp_path / "out.wav"
    assert main(["say", "Hello there.", "-o", str(whole)]) == 0
    seconds = audio.read(out).duration_s
    assert seconds == pytest.approx(audio.read(whole).duration_s, abs=0.15)
    assert (out.read_bytes()[:4] == b"RIFF") == (suffix == "wav")


def test_say_prints_one_json_object(engine, tmp_path, capsys):
    out = tmp_path / "out.wav"
    assert main(["say", "你好", "-o", str(out), "--json", "--model", "m", "--device", "cpu"]) == 0
    (result,) = json_lines(capsys)
    assert result == {
        "text": "你好",
        "file": str(out),
        "audio_s": 0.5,
        "ttfa_s": result["ttfa_s"],
        "rtf": result["rtf"],
        "prompt_tokens": 11,
        "text_tokens": 2,
        "audio_tokens": 6,
        "finish_reason": "stop",
        "seed": 0,
        "model": "nano",
        "device": "cpu",
    }
    assert engine.chosen == ("m", "cpu")


def test_say_speaks_every_line_of_a_file(engine, tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("\ufeffone\ntwo\n\nfour\n", encoding="utf-8")
    assert main(["say", "--file", str(lines), "-o", str(tmp_path / "out"), "--json"]) == 0
    results = json_lines(capsys)
    assert [r["text"] for r in results] == ["one", "two", "four"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["1.wav", "2.wav", "4.wav"]  # the number of the line


def test_a_line_that_cannot_be_spoken_does_not_stop_the_others(engine, tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("one\n...\nsilence\nfour\n", encoding="utf-8")
    assert main(["say", "--file", str(lines), "-o", str(tmp_path / "out")]) == 2
    complaints = capsys.readouterr().err.splitlines()
    assert [c.split(":")[1].strip() for c in complaints] == ["line 2", "line 3"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"1.wav", "4.wav"}


def test_say_reads_a_long_text_sentence_by_sentence(engine, tmp_path, capsys):
    out = tmp_path / "out.wav"
    text = "Hello there. " + "a very long sentence, " * 10 + "which ends."
    assert main(["say", text, "-o", str(out), "--json"]) == 0
    (result,) = json_lines(capsys)
    assert len(engine.turns) == 4
    assert result["audio_tokens"] == 6 * 4
    assert soundfile.info(out).duration == pytest.approx(result["audio_s"], abs=0.001)
    assert result["audio_s"] == pytest.approx(0.5 * 4 + 0.25 + 0.1 + 0.1)


def test_say_refuses_a_language_that_the_checkpoint_does_not_speak(tmp_path, capsys, engine):
    engine._capabilities = Capabilities("nano", "", "cpu", 0, RATE, ("en",))
    for arguments in (["你好"], ["Hello", "--language", "zh"]):
        assert main(["say", *arguments, "-o", str(tmp_path / "x.wav")]) == 2
        assert re.search("it speaks English|one of detect, en", capsys.readouterr().err)


def test_transcribe_prints_the_text(engine, recording, capsys):
    assert main(["transcribe", str(recording), "--language", "zh"]) == 0
    assert capsys.readouterr().out == "ni hao 你好\n"
    instruction, heard = engine.turns[0].messages[0].parts
    assert instruction.text == TaskTable().transcription_prompts["zh"]
    assert heard.audio.duration_s == pytest.approx(2.0)


def test_transcribe_takes_the_hint_where_the_model_knows_the_language(engine, recording, capsys):
    tasks = TaskTable(transcription_prompts={"": "transcribe:", "en": "transcribe english:"})
    engine._capabilities = Capabilities("nano", "", "cpu", 0, RATE, ("en", "zh"), tasks)
    for language in ("en", "zh"):
        assert main(["transcribe", str(recording), "--language", language, "--json"]) == 0
    asked = [request.messages[0].parts[0].text for request in engine.turns]
    assert asked == ["transcribe english:", "transcribe:"]
    assert [result["language"] for result in json_lines(capsys)] == ["en", "zh"]


def test_transcribe_names_the_languages_that_the_model_knows(engine, recording, capsys):
    tasks = TaskTable(transcription_prompts={"": "transcribe:"})
    engine._capabilities = Capabilities("m", "", "cpu", 0, RATE, ("en",), tasks)
    assert main(["transcribe", str(recording), "--language", "zh"]) == 2
    assert "'zh' here: choose one of detect, en" in capsys.readouterr().err
    assert engine.turns == []


def test_transcribe_prints_one_json_object_a_file(engine, recording, capsys):
    assert main(["transcribe", str(recording), str(recording), "--json"]) == 0
    results = json_lines(capsys)
    assert len(results) == 2
    assert results[0]["text"] == "ni hao 你好"
    assert results[0]["file"] == str(recording)
    assert results[0]["audio_s"] == 2.0
    assert 0 <= results[0]["ttft_s"] <= 2 * results[0]["rtf"] + 0.002
    assert results[0]["audio_tokens"] == 0


def test_transcribe_writes_subtitles(engine, two_sentences, tmp_path, capsys):
    assert main(["transcribe", str(two_sentences), "--format", "srt"]) == 0
    cues = capsys.readouterr().out.split("\n\n")
    assert len(cues) == 2
    assert cues[0].startswith("1\n00:00:00,000 --> 00:00:01,")
    assert cues[1].endswith("\nni hao 你好\n")
    folder = tmp_path / "new"
    files = [str(two_sentences)] * 2
    assert main(["transcribe", *files, "--format", "vtt", "-o", str(folder)]) == 0
    assert (folder / "talk.vtt").read_text(encoding="utf-8").startswith("WEBVTT\n")
    assert str(folder / "talk.vtt") in capsys.readouterr().out


def test_transcribe_tells_programs_when_each_part_was_said(engine, two_sentences, capsys):
    assert main(["transcribe", str(two_sentences), "--json", "--language", "zh"]) == 0
    (result,) = json_lines(capsys)
    first, second = result["segments"]
    assert first["end_s"] < second["start_s"] < second["end_s"] <= 3.0
    assert result["text"] == "ni hao 你好ni hao 你好"
    assert (result["language"], result["text_tokens"]) == ("zh", 4)


def test_a_file_that_is_no_sound_does_not_stop_the_others(engine, recording, tmp_path, capsys):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    assert main(["transcribe", str(broken), str(recording)]) == 2
    captured = capsys.readouterr()
    assert captured.out == f"{recording}: ni hao 你好\n"
    assert len(captured.err.splitlines()) == 1
    assert "broken.wav" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["say", "", "-o", "OUT/x.wav"],
        ["say", "...", "-o", "OUT/x.wav"],
        ["say", "a" * 5001, "-o", "OUT/x.wav"],
        ["say", "silence", "-o", "OUT/x.wav"],
        ["say", "hi", "-o", "OUT"],
        ["say", "hi", "-o", "OUT/x.m4a"],
        ["say", "hi", "-o", "OUT/x.wav", "--model", "unknown"],
        ["say", "--file", "OUT/missing.txt", "-o", "OUT"],
        ["say", "--file", "OUT/empty.txt", "-o", "OUT"],
        ["say", "--file", "OUT/binary.txt", "-o", "OUT"],
        ["transcribe", "OUT/missing.wav"],
        ["transcribe", "OUT/empty.txt"],
        ["transcribe", "OUT/silent.wav"],
        ["transcribe", "OUT/hiss.wav"],
        ["transcribe", "OUT/long.wav"],
        ["transcribe", "OUT/hiss.wav", "OUT/hiss.wav", "--format", "srt"],
        ["transcribe", "OUT/hiss.wav", "-o", "OUT"],
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_two(engine, tmp_path, capsys, arguments):
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "hiss.wav", np.random.default_rng(0).normal(0, 0.004, RATE), RATE)
    soundfile.write(tmp_path / "long.wav", np.zeros(3601 * 100), 100)
    placed = [argument.replace("OUT", str(tmp_path)) for argument in arguments]
    assert main(placed) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error: ")
    assert not (tmp_path / "x.wav").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["say", "-o", "x.wav"],
        ["say", "hi"],
        ["say", "hi", "--file", "x.txt", "-o", "x"],
        ["say", "hi", "-o", "x.wav", "--seed", "many"],
        ["transcribe"],
        ["transcribe", "x.wav", "--language", "fr"],
        ["transcribe", "x.wav", "--format", "srt", "--json"],
        ["transcribe", "x.wav", "--format", "doc"],
        ["evaluate"],
    ],
)
def test_wrong_arguments_explain_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    assert ending.value.code == 2
    assert "usage: python -m kimi_demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "name"), [(line, name) for line in (COMMAND_LINE, TRAINING) for name in line.commands]
)
def test_every_command_keeps_the_contract_of_commands(line, name):
    module, _ = line.commands[name]
    assert module.startswith(f"{line.package}.")
    command = importlib.import_module(module)
    command.add_arguments(argparse.ArgumentParser())
    assert callable(command.run)


def test_a_missing_tool_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for module in ("training.kokoro", "training.speak"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert TRAINING.run(["speak"]) == 2
    complaint = capsys.readouterr().err
    assert "needs the package onnx" in complaint
    assert "-r training/requirements.txt" in complaint


def test_help_imports_no_torch_and_no_engine():
    program = (
        "import sys; from kimi_demo.__main__ import main\n"
        "try: main(['say', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'gradio', 'kimi_demo.engine.factory'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
