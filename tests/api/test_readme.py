"""The examples of the API in README.md and docs/ run as they stand, but for the address, and print
what nano says without a server.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from kimi_demo.audio import INPUT_SAMPLE_RATE, read
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.events import collect
from kimi_demo.intents import Speak, Transcribe
from kimi_demo.transcripts import transcript_of
from kimi_demo.voice_activity import without_silence
from tests.documents import ROOT, examples

ADDRESS = "http://localhost:7860"


def example(language, site):
    (text,) = (found.text for found in examples("test: api") if found.language == language)
    assert ADDRESS in text
    return text.replace(ADDRESS, site.url)


@pytest.fixture
def folder(tmp_path):
    """A place with the repository's examples, for files to be written to."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(command, folder):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text):
    """JSON objects that follow each other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def written_down(nano, path, again=True):
    sound = read(path, sample_rate=INPUT_SAMPLE_RATE)
    return transcript_of(nano.stream(Transcribe(sound, again=again, may_be_empty=True)))[0].text


def check_speech(nano, path, text):
    spoken = collect(nano.stream(Speak(text)))
    assert read(path).duration_s == pytest.approx(len(spoken.waveform) / 24_000, abs=0.1)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_shell_lines_run(nano_site, nano, typed_answer, folder):
    printed = run(["sh", "-ec", example("sh", nano_site)], folder)
    check_speech(nano, folder / "speech.mp3", "The cat sleeps under the green tree.")
    transcription, completion = objects(printed)
    assert transcription["text"] == written_down(nano, folder / "speech.mp3")
    assert completion["choices"][0]["message"]["content"] == typed_answer.text


def answers(nano, *asked):
    """A conversation without a server."""
    talk = Conversation()
    for question in asked:
        talk = talk.with_turn(ChatTurn.of(question, 0, nano.stream(talk.intent(question))))
    return talk.turns


def test_the_program_runs(nano_site, nano, folder):
    printed = run([sys.executable, "-c", example("python", nano_site)], folder)
    check_speech(nano, folder / "speech.wav", "It is dark.")
    question = read(folder / "examples/audio/question-en.wav", sample_rate=INPUT_SAMPLE_RATE)
    first, second = answers(nano, without_silence(question), "And in Italy?")
    written = written_down(nano, folder / "speech.wav", again=False)
    assert printed == f"{written}{first.answer_text}\n{second.answer_text}\n"
    assert read(folder / "answer.wav").duration_s == pytest.approx(first.spoken.duration_s)
