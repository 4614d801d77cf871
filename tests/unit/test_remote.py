"""The engine that asks a server, against one that speaks like the hosted service: strict about what
it does not know, generous with fields of its own, and every now and then in trouble.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from kimi_demo.audio import Audio, to_int16
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
from tests.voice import silence, voice

KEY = "sk-the-secret-one"
RATE = 24_000
SOUND = (0.4 * np.sin(np.arange(RATE) / 9)).astype(np.float32)
PCM = to_int16(SOUND).tobytes()
HEARD = Audio(SOUND[::2].copy(), RATE // 2)
KNOWN_ID, OLD_ID = "audio_known", "audio_expired"
SPEECH_FIELDS = "input model voice instructions response_format speed stream_format"
FORM_FIELDS = "file model prompt response_format temperature"
CHAT_FIELDS = "model messages modalities audio stream stream_options seed max_completion_tokens"
FIELDS = {
    "speech": SPEECH_FIELDS,
    "transcriptions": f"{FORM_FIELDS} language stream",
    "translations": FORM_FIELDS,
    "completions": CHAT_FIELDS,
}


class Hosted:
    """Answers by what it is asked, and remembers it. left: somebody hung up before the end."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.left = threading.Event()

    def app(self) -> Starlette:
        routes = [
            Route("/v1/models", self.models),
            Route("/v1/audio/speech", self.speech, methods=["POST"]),
            Route("/v1/audio/transcriptions", self.transcriptions, methods=["POST"]),
            Route("/v1/audio/translations", self.transcriptions, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/page/models", lambda _: HTMLResponse("<p>Welcome</p>")),
            Route("/moved/models", lambda _: RedirectResponse("http://other.test/v1/models")),
            Route("/odd/models", lambda _: JSONResponse({"data": [{"about": {"label": 7}}]})),
        ]
        return Starlette(routes=routes)

    async def models(self, request: HttpRequest) -> Response:
        if refusal := _refusal(request, {}):
            return refusal
        listed = [{"id": "gpt-audio", "object": "model", "created": 1, "owned_by": "system"}]
        return JSONResponse({"object": "list", "data": listed})

    async def speech(self, request: HttpRequest) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        if refusal := _refusal(request, asked):
            return refusal
        if asked["input"] == "wait":
            return await self._waiting(request)
        return StreamingResponse(self._sound(asked["input"]), media_type="audio/pcm")

    async def transcriptions(self, request: HttpRequest) -> Response:
        async with request.form() as form:
            asked = {**form, "file": await form["file"].read()}
        self.asked.append(asked)
        if refusal := _refusal(request, asked):
            return refusal
        if asked["model"] == "whisper-1":
            return JSONResponse({"text": "the cat", "usage": {"type": "duration", "seconds": 1}})
        return _events(
            {"type": "transcript.text.delta", "delta": "the ", "logprobs": []},
            {"type": "transcript.text.delta", "delta": "cat"},
            {
                "type": "transcript.text.done",
                "text": "the cat",
                "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 2},
            },
        )

    async def chat(self, request: HttpRequest) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        if refusal := _refusal(request, asked):
            return refusal
        if any(m.get("audio", {}).get("id") == OLD_ID for m in asked["messages"]):
            return _error(404, "Audio with ID 'audio_expired' not found.", code="audio_not_found")
        content = asked["messages"][-1]["content"]
        words = content if isinstance(content, str) else content[0].get("text", "")
        speaks = "audio" in asked["modalities"]
        return _events(*_chunks(words, speaks))

    async def _waiting(self, request: HttpRequest) -> Response:
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        self.left.set()
        return Response()

    async def _sound(self, words: str):
        try:
            for start in range(0, len(PCM), 4097):
                yield PCM[start : start + 4097]
                if words == "break off":
                    await asyncio.sleep(0.05)  # so that the first bytes are sent
                    raise ConnectionError
                while words == "stall":
                    await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.left.set()
            raise


def known(path: str) -> set[str]:
    return set(FIELDS.get(path.rsplit("/", 1)[-1], "").split())


def _refusal(request: HttpRequest, asked: dict) -> Response | None:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        sent = request.headers.get("authorization", "")
        return _error(401, f"Incorrect API key provided: {sent}", code="invalid_api_key")
    if unknown := sorted(set(asked) - known(request.url.path)):
        return _error(400, f"Unrecognized request argument: {unknown[0]}", param=unknown[0])
    match asked.get("input"):
        case "too much":
            return _error(429, "Rate limit reached.", headers={"retry-after": "7"})
        case "crash":
            return HTMLResponse("<h1>Bad gateway</h1>", 502)
    return None


def _error(status: int, message: str, headers=None, param=None, code=None) -> Response:
    detail = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": detail}, status, headers)


def _events(*values: dict) -> Response:
    async def lines():
        for value in values:
            yield f"data: {json.dumps(value)}\r\n\r\n".encode()
        if values[-1].get("last") is None:
            yield b"data: [DONE]\r\n\r\n"

    return StreamingResponse(lines(), media_type="text/event-stream; charset=utf-8")


def _chunks(words: str, speaks: bool) -> Iterator[dict]:
    """In the order that the hosted service has."""
    match words:
        case "fail midway":
            yield _chunk({"role": "assistant", "content": "I"})
            yield {"error": {"message": "The server had an error.", "type": "server_error"}}
        case "end early":
            yield _chunk({"role": "assistant", "content": "I"}) | {"last": True}
        case "wrong types":
            yield {"choices": [{"delta": {"content": 7}}]}
        case "no base64":
            yield _chunk({"audio": {"data": "%"}})
        case _ if speaks:
            yield from _spoken_chunks()
        case _:
            yield _chunk({"role": "assistant", "content": "", "refusal": None})
            yield _chunk({"content": "(B) a d"})
            yield _chunk({"content": "og"})
            yield _chunk({}, "stop")
            usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
            yield {"choices": [], "usage": usage, "obfuscation": "x"}


def _spoken_chunks() -> Iterator[dict]:
    yield _chunk({"role": "assistant", "content": None, "refusal": None})
    yield _chunk({"audio": {"id": KNOWN_ID, "transcript": "It is "}})
    yield _chunk({"audio": {"transcript": "Paris."}})
    for start in range(0, len(PCM), 4801):
        data = base64.b64encode(PCM[start : start + 4801]).decode()
        yield _chunk({"audio": {"data": data}})
    yield _chunk({"audio": {"expires_at": 1}})
    yield _chunk({}, "stop")
    details = {"audio_tokens": 20, "text_tokens": 5, "accepted_prediction_tokens": 0}
    usage = {"prompt_tokens": 11, "completion_tokens": 25, "completion_tokens_details": details}
    yield {"choices": [], "usage": usage}


def _chunk(delta: dict, finish_reason: str | None = None) -> dict:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return {"id": "1", "created": 1, "model": "m", "choices": [choice], "service_tier": "default"}


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
