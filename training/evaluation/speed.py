"""What a checkpoint costs: its files, how soon and how fast it speaks, what hearing takes, and the
memory of the app. Seconds are wall-clock time unless they are those of a core.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.checkpoint import locate
from kimi_demo.cli.bench.report import TEXT
from kimi_demo.cli.bench.speed import speech_speed
from kimi_demo.events import collect
from kimi_demo.intents import Chat, Speak
from training.evaluation import texts
from training.evaluation.bench import Bench
from training.evaluation.links import load_parts
from training.evaluation.rows import Figure

MB = 1e6
REPEATS = 3
QUESTION_S = 3.0
WEIGHTS = (".safetensors", ".pt")
# The app as `python app.py` sets it up, but for the socket; a spoken answer, then its memory.
_APP = """
import sys, app, psutil
from kimi_demo import intents
settings = app.Settings.from_command_line(["--model", sys.argv[1]])
service = app.serve(settings)
page = app.build_ui(service.engine, settings.ui_language)
list(service.engine.stream(intents.Chat.about("How are you?")))
print(psutil.Process().memory_info().rss)
service.close()
"""


def files(bench: Bench) -> Mapping[str, Figure]:
    """Megabytes of all weights, and of the largest file."""
    found = locate.find(bench.checkpoint).root.rglob("*")
    sizes = [path.stat().st_size / MB for path in found if path.suffix in WEIGHTS]
    return {
        "weights": Figure(round(sum(sizes), 2), len(sizes)),
        "largest": Figure(round(max(sizes), 2), len(sizes)),
    }


def speaking(bench: Bench) -> Mapping[str, Figure]:
    """A sentence that is read aloud, when the engine is warm."""
    measured = speech_speed(bench.engine, Speak(TEXT), REPEATS)
    first, rtf = measured["first_audio_s"], measured["rtf"]
    return {
        "first_sound": Figure(round(first["median"], 3), REPEATS),
        "rtf": Figure(round(rtf["median"], 3), REPEATS),
    }


def answering(bench: Bench) -> Mapping[str, Figure]:
    """Spoken questions, none of them heard before, to the first sound of the answer."""
    intents = (Chat.about(question) for question in _questions(bench))
    timings = [collect(bench.engine.stream(intent)).finished.timings for intent in intents]
    return {"first_sound": _middle([t.first_audio_s for t in timings])}


def hearing(bench: Bench) -> Mapping[str, Figure]:
    """What both encoders need for a question, in seconds of one core."""
    parts, seconds = load_parts(bench.checkpoint), []
    for question in _questions(bench):
        started = time.process_time()
        parts.speech_tokenizer.encode(question.waveform)
        parts.acoustic_encoder.encode(question.waveform)
        seconds.append(time.process_time() - started)
    return {"heard": _middle(seconds)}


def memory(bench: Bench) -> Mapping[str, Figure]:
    """Megabytes that the app holds after a spoken answer, in a process of its own."""
    command = [sys.executable, "-c", _APP, bench.checkpoint]
    folder = Path(__file__).parents[2]
    told = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
    return {"app": Figure(round(int(told.stdout.split()[-1]) / MB, 1), 1)}


def _questions(bench: Bench) -> list[Audio]:
    """Each of three seconds, silence included. One more than is counted."""
    length = round(QUESTION_S * INPUT_SAMPLE_RATE)
    questions = []
    for number, dialogue in enumerate(texts.dialogues("en", 1 + REPEATS)):
        sound = bench.voices.unmet(dialogue.exchanges[0].question, "en", number)
        waveform = sound.resampled(INPUT_SAMPLE_RATE).waveform[:length]
        padded = np.pad(waveform, (0, length - len(waveform)))
        questions.append(Audio(padded, INPUT_SAMPLE_RATE))
    return questions


def _middle(seconds: Sequence[float | None]) -> Figure:
    """Without the first, which pays for all that is set up on first use."""
    known = [value for value in seconds[1:] if value is not None]
    return Figure(round(statistics.median(known), 3) if known else None, len(known))
