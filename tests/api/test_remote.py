"""The engine that asks a server, over our own: it answers what the engine behind that does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kimi_demo import audio
from kimi_demo.api.history import AnswerStore
from kimi_demo.api.keys import Keys
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.engine.remote import RemoteEngine
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import AccessError, AudioError, EngineBusy, EngineError, InputError
from kimi_demo.events import (
    Answer,
    AudioDelta,
    Finished,
    HeardDelta,
    Queued,
    SegmentStarted,
    SentenceStarted,
    Started,
    StartedOver,
    Stepped,
    TextDelta,
    collect,
)
from kimi_demo.intents import Ask, Caption, Chat, Choose, Intent, Speak, Transcribe
from kimi_demo.messages import Sampling
from kimi_demo.options import RemoteOptions
from kimi_demo.transcripts import transcript_of

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "examples" / "audio"
SPOKEN = CLIPS / "speech-bridge-en.wav"
STEP = 1 / 32767  # of 16-bit sound
RATE = 24_000


@pytest.fixture(scope="module")
def remote(nano_site: Any) -> Iterator[RemoteEngine]:
    engine = RemoteEngine.connected(RemoteOptions(f"{nano_site.url}/v1"))
    yield engine
    engine.close()


def clip(path: Path) -> Audio:
    return audio.read(path).resampled(INPUT_SAMPLE_RATE)


def counts(answer: Answer) -> tuple[int, int]:
    return answer.finished.text_tokens, answer.finished.audio_tokens


def test_the_page_is_told_what_runs_there(remote: RemoteEngine, nano: Engine, nano_site: Any):
    here, there = nano.capabilities, remote.capabilities
    host = nano_site.url.removeprefix("http://")
    assert there.label == f"{here.label} Computed by the server at {host}."
    assert there.device == host
    for name in ("model", "parameters", "sample_rate", "languages", "card", "slots"):
        assert getattr(there, name) == getattr(here, name), name
    assert there.tasks == here.tasks


@pytest.mark.parametrize("seed", [0, 7])
def test_speech_is_the_same(remote: RemoteEngine, nano: Engine, seed: int):
    text = "It is 3 o'clock."  # which has to be spelled out once
    here, there = (collect(engine.stream(Speak(text, seed=seed))) for engine in (nano, remote))
    np.testing.assert_allclose(there.waveform, here.waveform, atol=0.51 * STEP)
    assert counts(there) == counts(here)
    assert there.finished.prompt_tokens == here.finished.prompt_tokens
    assert there.finished.timings.first_audio_s < there.finished.timings.total_s


def test_the_words_of_speech_come_with_it(serve_api: Callable[..., Any]):
    sound = AudioDelta(np.full(480, 0.5, np.float32), RATE)
    ending = Finished("stop", 3, 2, 1)
    with serve_api(scripted([TextDelta("good "), sound, TextDelta("day"), ending])) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        answer = collect(engine.stream(Speak("good day.")))
        assert (answer.text, len(answer.waveform)) == ("good day", 480)
        engine.close()


@pytest.mark.parametrize("output", ["text", "both"])
def test_what_was_heard_comes_before_the_answer(serve_api: Callable[..., Any], output: Any):
    ending = Finished("stop", 3, 6, 0)
    script = [HeardDelta("what time "), HeardDelta("is it?"), TextDelta("five."), ending]
    with serve_api(scripted(script)) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        events = list(engine.stream(Chat.about(clip(SPOKEN), output)))
        told = [event for event in events if isinstance(event, HeardDelta | TextDelta)]
        assert told == script[:3]
        assert collect(events).heard == "what time is it?"
        engine.close()


def test_sampling_travels(remote: RemoteEngine, nano: Engine):
    usual = remote.capabilities.tasks.speech_sampling.audio
    varied = Sampling()
    assert varied.audio != usual
    here, there = (
        collect(engine.stream(Speak("good day.", sampling=varied, seed=3)))
        for engine in (nano, remote)
    )
    np.testing.assert_allclose(there.waveform, here.waveform, atol=0.51 * STEP)


def test_transcripts_are_the_same(remote: RemoteEngine, nano: Engine):
    sound = clip(SPOKEN)
    here, there = (transcript_of(engine.stream(Transcribe(sound))) for engine in (nano, remote))
    assert there[0] == here[0]
    assert there[1].text_tokens == here[1].text_tokens
    assert there[1].prompt_tokens == here[1].prompt_tokens


def test_answers_about_a_sound_are_the_same(remote: RemoteEngine, nano: Engine):
    dog, beeps = clip(CLIPS / "sound-dog.wav"), clip(CLIPS / "beeps-three.wav")

    asked: list[Intent] = [
        Caption(dog),
        Caption(dog, "zh"),
        Ask.about(beeps, "How many beeps are there?"),
        Choose.about(dog, "sound"),
        Choose.about(dog, "sound", ("a cat", "dog"), "what is it?"),
        Choose(Ask.about(dog, "which sound?").messages, options=("cat", "dog")),
    ]
    for intent in asked:
        mine, theirs = collect(nano.stream(intent)), collect(remote.stream(intent))
        assert theirs.text == mine.text
        assert theirs.options == mine.options
        assert counts(theirs) == counts(mine)
        np.testing.assert_allclose(theirs.probabilities, mine.probabilities, atol=2e-3)


def test_a_conversation_goes_on_by_ids(remote: RemoteEngine, nano: Engine):
    asked = ("What is the capital of France?", "And in Italy?")
    here, there = (talk(engine, *asked) for engine in (nano, remote))
    for mine, theirs in zip(here.turns, there.turns, strict=True):
        assert theirs.answer_text == mine.answer_text
        np.testing.assert_allclose(theirs.waveform, mine.waveform, atol=0.51 * STEP)
        assert theirs.finished.prompt_tokens == mine.finished.prompt_tokens
        assert (theirs.answer_codes, bool(theirs.answer_id)) == ((), True)


def talk(engine: Engine, *asked: str) -> Conversation:
    conversation = Conversation()
    for question in asked:
        events = list(engine.stream(conversation.intent(question)))
        conversation = conversation.with_turn(ChatTurn.of(question, 0, events))
    return conversation


def test_an_answer_that_the_server_forgot_is_told_again_in_words(
    serve_api: Callable[..., Any], nano: Engine
):
    now = 1_000.0
    with serve_api(nano, answers=AnswerStore(clock=lambda: now)) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        conversation = talk(engine, "What is the capital of France?")
        now += 4_000
        answer = collect(engine.stream(conversation.intent("And in Italy?")))
        in_words = ChatTurn("What is the capital of France?", conversation.turns[0].answer_text)
        alike = Conversation((in_words,)).intent("And in Italy?")
        assert answer.text == collect(nano.stream(alike)).text
        replies = site.service.metrics.value(
            "kimi_http_responses_total", route="/chat/completions", status="404"
        )
        assert replies == 1
        engine.close()


def held_until(go_on: threading.Event) -> Callable[[Any], Any]:
    def script(turn: Any) -> Any:
        while not go_on.wait(0.01):
            yield Stepped(0, 0)
        yield AudioDelta(np.full(480, 0.5, np.float32), RATE)
        yield Finished("stop", 3, 1, 1)

    return script


def test_the_place_in_line_is_the_servers_and_nobody_is_invented(serve_api: Callable[..., Any]):
    go_on = threading.Event()
    with serve_api(scripted(held_until(go_on))) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        first, second = engine.stream(Speak("One.")), engine.stream(Speak("Two."))
        alone = [next(first) for _ in range(4)]
        assert {event.ahead for event in alone if isinstance(event, Queued)} == {0}
        waits = next(event for event in second if event == Queued(1))
        assert waits.wait_s > 0
        go_on.set()
        for stream in (first, second):
            assert isinstance(list(stream)[-1], Finished)
        engine.close()


def test_a_reading_is_one_job_there_that_others_cannot_break_off(serve_api: Callable[..., Any]):
    """While its second sentence is spoken the line is full; the third comes all the same."""
    go_on = threading.Event()
    with serve_api(scripted(held_until(go_on)), max_waiting=1) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        reading, other = engine.stream(Speak("One. Two. Three.")), engine.stream(Speak("Other."))
        next(event for event in reading if isinstance(event, SentenceStarted))
        next(event for event in other if event == Queued(1))
        with pytest.raises(EngineBusy):
            list(engine.stream(Speak("Too many.")))
        go_on.set()
        told = [e for e in reading if isinstance(e, SentenceStarted)]
        assert [(e.index, e.total, e.text) for e in told] == [(2, 3, "Two."), (3, 3, "Three.")]
        assert isinstance(list(other)[-1], Finished)
        engine.close()


def test_what_is_taken_back_and_where_words_belong_is_told(serve_api: Callable[..., Any]):
    def runs_on_once(turn: Any) -> Any:
        is_first = turn.sampling.text.repetition_penalty == 1.0
        yield Started(9)
        yield TextDelta("on and on" if is_first else "the cat")
        yield Finished("loop" if is_first else "stop", 9, 2, 0)

    with serve_api(scripted(runs_on_once)) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        events = list(engine.stream(Transcribe(clip(SPOKEN))))
        kinds = [type(event) for event in events]
        assert kinds.index(SegmentStarted) < kinds.index(StartedOver)
        transcript, finished = transcript_of(events)
        assert (transcript.text, finished.prompt_tokens) == ("the cat", 18)
        assert 0 < transcript.segments[0].start_s < transcript.segments[0].end_s
        kept, _ = transcript_of(engine.stream(Transcribe(clip(SPOKEN), again=False)))
        assert kept.text == "on and on"
        asked = collect(engine.stream(Ask.about(clip(SPOKEN), "What is it?")))
        assert asked.text == "the cat"
        engine.close()


@pytest.mark.parametrize("when", ["before the sound", "in the sound"])
def test_closing_frees_the_slot(remote: RemoteEngine, nano_site: Any, when: str):
    metrics = nano_site.service.metrics
    events = remote.stream(Speak("The cat sleeps under the tree. " * 5))
    wanted = AudioDelta if when == "in the sound" else Queued
    assert any(isinstance(event, wanted) for event in events)
    cancelled = metrics.value("kimi_requests_total", task="speech", outcome="cancelled")
    events.close()
    gone = time.monotonic() + 2.0
    while metrics.value("kimi_active_streams") and time.monotonic() < gone:
        time.sleep(0.01)
    assert metrics.value("kimi_active_streams") == 0
    after = metrics.value("kimi_requests_total", task="speech", outcome="cancelled")
    assert after == cancelled + 1


def test_what_the_server_refuses_is_refused_here(remote: RemoteEngine):
    silence = Audio(np.zeros(INPUT_SAMPLE_RATE, np.float32), INPUT_SAMPLE_RATE)
    with pytest.raises(AudioError, match="silent"):
        remote.stream(Caption(silence))  # by what the server said of itself
    with pytest.raises(InputError, match="nothing in this text can be spoken"):
        remote.stream(Speak("!"))


def scripted(script: Any, pause_s: float = 0.0) -> ScriptedEngine:
    capabilities = Capabilities("scripted", "Plays events.", "cpu", 1, RATE)
    return ScriptedEngine(script, capabilities, pause_s)


def failing(turn: Any) -> Any:
    yield Started(3)
    yield TextDelta("so ")
    raise EngineError("the device is out of memory: send a shorter request")


def test_failures_in_the_middle_are_told(serve_api: Callable[..., Any]):
    with serve_api(scripted(failing)) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        events = engine.stream(Chat.about("Hello."))
        with pytest.raises(EngineError, match="out of memory"):
            list(events)
        engine.close()


def test_a_full_server_says_when_to_come_back(serve_api: Callable[..., Any]):
    done = Finished("stop", 1, 1, 0)
    slow = scripted([Started(1), TextDelta("hi"), *[Stepped(1, 0)] * 40, done], pause_s=0.05)
    with serve_api(slow, max_waiting=0) as site:
        engine = RemoteEngine.connected(RemoteOptions(f"{site.url}/v1"))
        request = Chat.about("Hello.", "text")
        first = engine.stream(request)
        assert any(isinstance(event, TextDelta) for event in first)
        with pytest.raises(EngineBusy, match="wait") as told:
            list(engine.stream(request))
        assert told.value.retry_after_s >= 1
        first.close()
        engine.close()


def test_a_key_opens_the_server(serve_api: Callable[..., Any]):
    with serve_api(scripted([]), keys=Keys.of("me=a-long-secret")) as site:
        for key in ("", "a-wrong-secret"):
            with pytest.raises(AccessError):
                RemoteEngine.connected(RemoteOptions(f"{site.url}/v1", key))
        RemoteEngine.connected(RemoteOptions(f"{site.url}/v1", "a-long-secret")).close()


WITHOUT_TORCH = """
import sys
from kimi_demo import audio
from kimi_demo.engine.open import open_engine
from kimi_demo.events import collect
from kimi_demo.options import ModelOptions, RemoteOptions
from kimi_demo.intents import Speak, Transcribe
from kimi_demo.transcripts import transcript_of
from kimi_demo.ui import build_ui

engine = open_engine(ModelOptions(), RemoteOptions(sys.argv[1]))
build_ui(engine)
print(len(collect(engine.stream(Speak("good morning."))).waveform))
sound = audio.read(sys.argv[2], sample_rate=audio.INPUT_SAMPLE_RATE)
print(transcript_of(engine.stream(Transcribe(sound)))[0].text)
engine.close()
assert "torch" not in sys.modules
"""


def test_the_page_over_a_server_does_without_torch(nano_site: Any, nano: Engine):
    arguments = [sys.executable, "-c", WITHOUT_TORCH, f"{nano_site.url}/v1", str(SPOKEN)]
    run = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    spoken = collect(nano.stream(Speak("good morning."))).waveform
    written, _ = transcript_of(nano.stream(Transcribe(clip(SPOKEN))))
    assert run.stdout.splitlines()[-2:] == [str(len(spoken)), written.text]
