"""The engine that asks a server, against one that speaks like the hosted service."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import uvicorn

from kimi_demo.audio import Audio
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.remote import RemoteEngine
from kimi_demo.engine.remote.replies import label_of
from kimi_demo.errors import (
    AccessError,
    EngineAway,
    EngineBusy,
    EngineError,
    InputError,
    UnknownName,
)
from kimi_demo.events import (
    AudioDelta,
    Checked,
    Finished,
    Queued,
    SentenceStarted,
    Started,
    Stepped,
    collect,
)
from kimi_demo.intents import Chat, Choose, ListenBack, Speak, Transcribe, Translate
from kimi_demo.messages import Message, Option, SpokenPart
from kimi_demo.options import RemoteOptions
from tests.unit.hosted import CHAT_FIELDS, FIELDS, HEARD, KEY, KNOWN_ID, OLD_ID, RATE, SOUND, Hosted
from tests.voice import silence, voice


@pytest.fixture(scope="module")
def hosted() -> Iterator[Hosted]:
    stub = Hosted()
    config = uvicorn.Config(stub.app(), host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    stub.root = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield stub
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def engine(hosted: Hosted) -> Iterator[RemoteEngine]:
    hosted.asked.clear()
    hosted.left.clear()
    connected = RemoteEngine.connected(RemoteOptions(f"{hosted.root}/v1", KEY))
    yield connected
    connected.close()


def asking(words: str, output="text") -> Chat:
    return Chat.about(words, output)


def test_a_hosted_service_is_introduced_by_what_is_usual(engine: RemoteEngine, hosted: Hosted):
    shown = engine.capabilities
    host = hosted.root.removeprefix("http://")
    assert (shown.model, shown.device, shown.parameters) == ("gpt-audio", host, 0)
    assert (shown.sample_rate, shown.languages, shown.slots) == (RATE, ("en", "zh"), 8)
    assert shown.label == f"Asks the server at {host}; words and sounds are sent there."
    assert shown.tasks.choices["emotion"].lettered


def test_speech_comes_as_it_is_read_in_pieces_of_any_size(engine: RemoteEngine, hosted: Hosted):
    events = list(engine.stream(Speak("Hello.", seed=3)))
    assert events[1:3] == [Started(0), SentenceStarted(1, 1, "Hello.")]
    assert sum(isinstance(event, AudioDelta) for event in events) > 3
    answer = collect(events)
    np.testing.assert_allclose(answer.waveform, SOUND, atol=0.51 / 32767)
    assert answer.sample_rate == RATE
    finished = answer.finished
    assert (finished.reason, finished.text_tokens, finished.audio_tokens) == ("stop", 0, 0)
    assert finished.timings.audio_s == 1.0
    assert 0 < finished.timings.first_audio_s <= finished.timings.total_s
    assert hosted.asked == [
        {"input": "Hello.", "model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "pcm"}
    ]


@pytest.mark.parametrize(
    ("model", "counts"), [("gpt-4o-transcribe", (14, 2)), ("whisper-1", (0, 0))]
)
def test_a_transcript_comes_streamed_or_whole(hosted: Hosted, model: str, counts: tuple[int, int]):
    hosted.asked.clear()
    options = RemoteOptions(f"{hosted.root}/v1", KEY, transcription_model=model)
    engine = RemoteEngine.connected(options)
    answer = collect(engine.stream(Transcribe(HEARD, "en", may_be_empty=True)))
    engine.close()
    assert answer.text == "the cat"
    assert (answer.finished.prompt_tokens, answer.finished.text_tokens) == counts
    asked = hosted.asked[-1]
    file = asked.pop("file")
    assert asked == {"model": model, "language": "en", "response_format": "json", "stream": "true"}
    with soundfile.SoundFile(io.BytesIO(file)) as sound:
        assert (sound.samplerate, sound.channels, sound.subtype) == (RATE // 2, 1, "PCM_16")
        np.testing.assert_allclose(sound.read(), HEARD.waveform, atol=1e-4)


def test_a_translation_asks_for_nothing_that_is_unknown_there(engine: RemoteEngine, hosted: Hosted):
    answer = collect(engine.stream(Translate(HEARD, may_be_empty=True)))
    assert answer.text == "the cat"
    assert set(hosted.asked[-1]) == {"file", "model", "response_format"}


def test_speech_is_listened_back_to_in_one_job(engine: RemoteEngine, hosted: Hosted):
    said = (("The cat!", Audio(voice(2.0), 16_000)), ("A dog.", Audio(silence(2.0), 16_000)))
    found = [e for e in engine.stream(ListenBack(said)) if isinstance(e, Checked | Finished)]
    assert [(e.heard, e.edits) for e in found[:2]] == [("the cat", 0), ("", 4)]
    assert (found[2].prompt_tokens, found[2].text_tokens) == (14, 2)
    assert [asked["language"] for asked in hosted.asked] == ["en"]  # silence is not sent


def test_a_conversation_goes_on_by_the_id_of_its_answer(engine: RemoteEngine, hosted: Hosted):
    first = Conversation().intent("What is the capital of France?", seed=5)
    events = list(engine.stream(first))
    answer = collect(events)
    assert answer.text == "It is Paris."
    np.testing.assert_allclose(answer.waveform, SOUND, atol=0.51 / 32767)
    finished = answer.finished
    assert (finished.prompt_tokens, finished.text_tokens, finished.audio_tokens) == (11, 5, 20)
    assert (finished.audio_id, finished.audio_codes) == (KNOWN_ID, ())
    assert finished.timings.first_text_s <= finished.timings.first_audio_s

    turn = ChatTurn.of("What is the capital of France?", 5, events)
    assert turn.answer_id == KNOWN_ID
    collect(engine.stream(Conversation((turn,)).intent(HEARD)))
    asked = hosted.asked[-1]
    question, said, sound = asked.pop("messages")
    assert question == {"role": "user", "content": "What is the capital of France?"}
    assert said == {"role": "assistant", "audio": {"id": KNOWN_ID}}
    assert sound["content"][0]["type"] == "input_audio"
    wav = base64.b64decode(sound["content"][0]["input_audio"]["data"])
    assert soundfile.info(io.BytesIO(wav)).samplerate == RATE // 2
    assert asked == {
        "model": "gpt-audio",
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "pcm16"},
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": 0,
    }


def test_an_answer_that_is_forgotten_there_is_told_again_in_words(
    engine: RemoteEngine, hosted: Hosted
):
    spoken = Message("assistant", (SpokenPart((), "It is Paris.", OLD_ID),))
    before = asking("Where?").messages
    answer = collect(engine.stream(Chat((*before, spoken, *before))))
    assert answer.text == "It is Paris."
    told = [asked["messages"][1] for asked in hosted.asked]
    assert told == [
        {"role": "assistant", "audio": {"id": OLD_ID}},
        {"role": "assistant", "content": "It is Paris."},
    ]


def test_a_closed_question_is_answered_by_one_of_its_options(engine: RemoteEngine, hosted: Hosted):
    intent = Choose.about(HEARD, "sound", ("a cat", "a dog"), "Who is it?")
    answer = collect(engine.stream(intent))
    assert (answer.text, answer.probabilities) == ("a dog", ())
    assert (answer.finished.prompt_tokens, answer.finished.text_tokens) == (9, 4)
    asked = hosted.asked[-1]
    assert "(B) a dog" in asked["messages"][0]["content"][0]["text"]
    assert asked["modalities"] == ["text"]


LETTERED = (Option("joy", "A"), Option("anger", "B"), Option("no joy", "C"))


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("B", "anger"),
        ("(b)", "anger"),
        ("B. It is loud.", "anger"),
        ("Anger.", "anger"),
        ("I hear anger here", "anger"),
        ("C) no joy", "no joy"),
        ("A person shouts", None),
        ("joy or anger", None),
        ("", None),
    ],
)
def test_replies_name_options_by_letter_or_label(words: str, label: str | None):
    assert label_of(words, LETTERED) == label


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("too much", EngineBusy, "Rate limit"),
        ("crash", EngineError, "status 502"),
        ("break off", EngineError, "broke off"),
    ],
)
def test_failures_of_speech_are_told(engine: RemoteEngine, words: str, error: type, message: str):
    with pytest.raises(error, match=message) as told:
        collect(engine.stream(Speak(words)))
    assert getattr(told.value, "retry_after_s", 7) == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fail midway", "had an error"),
        ("end early", "broke off"),
        ("wrong types", "cannot be read"),
        ("no base64", "base64"),
    ],
)
def test_failures_in_the_middle_of_an_answer_are_told(
    engine: RemoteEngine, words: str, message: str
):
    with pytest.raises(EngineError, match=message):
        list(engine.stream(asking(words)))


def test_what_the_server_refuses_names_its_parameter(
    engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(FIELDS, "completions", CHAT_FIELDS.replace("seed", ""))
    with pytest.raises(InputError, match="Unrecognized") as told:
        list(engine.stream(asking("hi")))
    assert told.value.param == "seed"


@pytest.mark.parametrize("key", ["", "sk-wrong-but-long", "sk-with\nnewline", "sk-ключ"])
def test_a_wrong_key_is_refused_at_the_start_and_told_nowhere(hosted: Hosted, key: str):
    options = RemoteOptions(f"{hosted.root}/v1", key)
    with pytest.raises(AccessError, match="KIMI_API_KEY") as told:
        RemoteEngine.connected(options)
    if key:
        assert key not in f"{told.value} {options!r}"


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/page", EngineError, "no OpenAI-compatible server"),
        ("/moved", EngineError, "moved to http://other.test"),
        ("/odd", EngineError, "cannot be read at 'label'"),
    ],
)
def test_what_is_no_such_server_is_said(hosted: Hosted, path: str, error: type, message: str):
    with pytest.raises(error, match=message):
        RemoteEngine.connected(RemoteOptions(hosted.root + path, KEY))


def test_a_server_that_lists_no_models_counts_as_hosted(hosted: Hosted):
    engine = RemoteEngine.connected(RemoteOptions(f"{hosted.root}/nothing", KEY, model="own"))
    assert (engine.capabilities.model, engine.capabilities.slots) == ("own", 8)
    with pytest.raises(UnknownName):
        list(engine.stream(asking("hi")))
    engine.close()


@pytest.mark.parametrize("address", ["localhost:1/v1", "http://", "ftp://a/v1"])
def test_what_is_no_address_is_said(address: str):
    with pytest.raises(InputError, match="address"):
        RemoteEngine.connected(RemoteOptions(address))


def test_nobody_at_home_is_said_with_the_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(EngineAway, match=f"{address} cannot be reached"):
            RemoteEngine.connected(RemoteOptions(address))


def test_a_proxy_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "odd://proxy.test")
    with pytest.raises(EngineAway, match="proxy"):
        RemoteEngine.connected(RemoteOptions("http://server.test/v1"))


@pytest.mark.parametrize(
    ("words", "pulse"), [("wait", Queued(0)), ("stall", Stepped(0, 1))], ids=["first", "further"]
)
def test_going_away_from_a_slow_server_hangs_up(
    engine: RemoteEngine, hosted: Hosted, words: str, pulse: object
):
    events = engine.stream(Speak(words))
    assert pulse in (next(events) for _ in range(6))
    assert not hosted.left.is_set()
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 0.1
    assert hosted.left.wait(1.0)


def test_closing_the_engine_drops_what_it_asks(hosted: Hosted):
    hosted.left.clear()
    engine = RemoteEngine.connected(RemoteOptions(f"{hosted.root}/v1", KEY))
    events = engine.stream(asking("hi"))
    stalled = engine.stream(Speak("wait"))
    assert {next(stalled) for _ in range(8)} == {Queued(0)}  # it is asked
    engine.close()
    assert hosted.left.wait(1.0)
    for stream in (stalled, events):
        with pytest.raises(EngineError, match="closed"):
            list(stream)
    engine.close()


def test_requests_run_side_by_side(engine: RemoteEngine):
    waiting = engine.stream(Speak("wait"))
    assert next(waiting) == Queued(0)
    assert collect(engine.stream(asking("hi"))).text == "(B) a dog"
    waiting.close()
