"""POST /v1/audio/speech through the official client: sound while it is made, in every format."""

import asyncio
import base64
import io
import json
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import openai
import pytest

from kimi_demo.audio import Audio, decode
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.tasks.speak import MAX_READING_CHARS
from kimi_demo.errors import EngineError
from kimi_demo.events import AudioDelta, Finished, Started, Stepped, TextDelta, Timings, collect
from kimi_demo.intents import Speak
from kimi_demo.messages import Sampling
from kimi_demo.tasks import TaskTable
from kimi_demo.wire.speech import MEDIA_TYPES

SAY = {"model": "tts-1", "voice": "alloy", "input": "hello"}
LONGER = {**SAY, "input": "The cat sleeps. The dog runs after a small bird. It is dark."}
RATE = 24_000
SOUND = AudioDelta(np.sin(np.arange(RATE // 2) / 10).astype(np.float32) / 2, RATE)
SILENCE = AudioDelta(np.zeros(RATE // 2, np.float32), RATE)
FINISHED = Finished("length", 3, 4, 5, Timings(None, 0.1, 0.2, 0.5))


def heard(data, format):
    """The sound of a reply."""
    if format == "pcm":
        return Audio(np.frombuffer(data, "<i2").astype(np.float32) / 32767, RATE)
    return decode(io.BytesIO(data))


def events_of(text):
    """The objects of a stream of events, which ends as it should."""
    *lines, end, rest = text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@contextmanager
def scripted(serve_api, script, pause_s=0.0, **tasks):
    """A server over a script, and its engine."""
    table = TaskTable(speech_prompt="", **tasks)
    engine = ScriptedEngine(
        script, Capabilities("scripted", "", "cpu", 1, RATE, tasks=table), pause_s
    )
    with serve_api(engine) as site:
        yield site, engine


def made_s(site):
    """Seconds of sound on the account of whoever calls without a key."""
    labels = {"key": "anonymous", "direction": "out"}
    return site.service.metrics.value("kimi_key_audio_seconds_total", **labels)


def eventually(condition, patience_s=3.0):
    end = time.monotonic() + patience_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.fixture(scope="module")
def hello(nano):
    """What nano says without a server."""
    return collect(nano.stream(Speak(SAY["input"])))


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_every_format_is_spoken(client, hello, format):
    reply = client.audio.speech.with_raw_response.create(**SAY, response_format=format)
    sound = heard(reply.content, format)
    assert 0 <= sound.duration_s - len(hello.waveform) / RATE < 0.1
    assert np.abs(sound.waveform).max() > 0.01
    assert reply.headers["content-type"] == MEDIA_TYPES[format]
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-request-id"].startswith("req_")
    assert "content-length" not in reply.headers
    assert "x-ignored" not in reply.headers


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_every_format_is_streamed(nano_site, hello, format):
    async def streamed():
        async with nano_site.async_client() as client:
            speech = client.audio.speech.with_streaming_response
            async with speech.create(**SAY, response_format=format) as reply:
                return reply.headers, b"".join([piece async for piece in reply.iter_bytes()])

    headers, data = asyncio.run(streamed())
    assert 0 <= heard(data, format).duration_s - len(hello.waveform) / RATE < 0.1
    assert headers["content-type"] == MEDIA_TYPES[format]
    assert headers["x-request-id"].startswith("req_")


def test_the_sound_is_the_models_own(client, hello):
    expected = Audio(hello.waveform, RATE).pcm16()
    assert client.audio.speech.create(**SAY, response_format="pcm").content == expected
    assert client.audio.speech.create(**SAY, response_format="wav").content[44:] == expected


def test_mp3_is_what_comes_unless_asked_otherwise(client):
    reply = client.audio.speech.with_raw_response.create(**SAY)
    assert reply.headers["content-type"] == "audio/mpeg"


def test_sound_arrives_while_nano_still_speaks(nano_site, client, nano):
    speech = client.audio.speech.with_streaming_response
    with speech.create(**LONGER, response_format="pcm") as reply:
        sound, steps = b"", []
        for piece in reply.iter_bytes():
            sound += piece
            steps.append(nano_site.service.metrics.value("kimi_decode_steps_total"))
    assert steps[0] < steps[-1]  # nano went on after the first piece was here
    spoken = collect(nano.stream(Speak(LONGER["input"])))
    assert sound == Audio(spoken.waveform, RATE).pcm16()


class Patient:
    """A script that says no more after the first sound until it may."""

    def __init__(self):
        self.may_go_on = threading.Event()

    def __call__(self, request):
        yield from (Started(3), TextDelta("hello"), SOUND, Stepped(1, 1))
        assert self.may_go_on.wait(5), "nobody has heard the first sound"
        yield from (SOUND, FINISHED)


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_the_first_bytes_leave_before_the_engine_goes_on(serve_api, format):
    script = Patient()
    with scripted(serve_api, script) as (site, engine), site.client() as client:
        speech = client.audio.speech.with_streaming_response
        with speech.create(**SAY, response_format=format) as reply:
            pieces = reply.iter_bytes()
            first = next(pieces)
            assert heard(first, format).duration_s > 0.3
            script.may_go_on.set()
            assert heard(b"".join([first, *pieces]), format).duration_s == pytest.approx(1, abs=0.1)
        assert engine.endings == ["finished"]
        assert made_s(site) == 1.0


def test_speed_changes_how_long_it_lasts(client, hello):
    for speed in (0.5, 2.0):
        data = client.audio.speech.create(**SAY, response_format="wav", speed=speed).content
        whole_s = len(hello.waveform) / RATE
        assert heard(data, "wav").duration_s == pytest.approx(whole_s / speed, rel=0.1)


@pytest.mark.parametrize("voice", ["kimi", "nova", {"id": "kimi"}, {"id": "alloy"}])
def test_a_voice_is_a_name_or_an_object(serve_api, voice):
    with scripted(serve_api, [SOUND, FINISHED]) as (site, _), site.client() as client:
        data = client.audio.speech.create(**{**SAY, "voice": voice}, response_format="pcm").content
    assert data == Audio(SOUND.waveform, RATE).pcm16()


def test_instructions_that_nobody_follows_are_named(client):
    reply = client.audio.speech.with_raw_response.create(**SAY, instructions="whisper")
    assert reply.headers["x-ignored"] == "instructions"


def test_instructions_reach_a_model_that_follows_them(serve_api):
    with scripted(serve_api, [SOUND, FINISHED]) as (site, engine), site.client() as client:
        reply = client.audio.speech.with_raw_response.create(**SAY, instructions="Whisper.")
    assert "x-ignored" not in reply.headers
    assert engine.turns[0].messages[0].parts[0].text == "Whisper.\nhello"


def test_sampling_and_seed_reach_the_model(serve_api):
    own = Sampling()
    with scripted(serve_api, [SOUND, FINISHED]) as (site, engine), site.client() as client:
        client.audio.speech.create(**SAY)
        client.audio.speech.create(**SAY, extra_body={"temperature": 0, "top_k": 7, "seed": 2**40})
    plain, chosen = engine.turns
    assert (plain.sampling, plain.seed, plain.output) == (own, 0, "both")
    assert (chosen.sampling.audio.temperature, chosen.sampling.audio.top_k) == (0, 7)
    assert chosen.sampling.audio.repetition_penalty == own.audio.repetition_penalty
    assert (chosen.sampling.text, chosen.seed) == (own.text, 2**40)


def test_a_seed_repeats_exactly(client):
    def said(seed):
        more = {"seed": seed, "temperature": 0.8, "top_k": 10}
        return client.audio.speech.create(**SAY, response_format="mp3", extra_body=more).content

    assert said(3) == said(3) != said(4)


@pytest.mark.parametrize("format", ["pcm", "wav", "opus"])
def test_events_hold_the_same_sound_and_its_usage(client, hello, format):
    data = client.audio.speech.create(**SAY, response_format=format).content
    reply = client.audio.speech.with_raw_response.create(
        **SAY, response_format=format, stream_format="sse"
    )
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-request-id"].startswith("req_")
    *told, done = events_of(reply.text)
    words = [event for event in told if event["type"] == "speech.text.delta"]
    assert all(event.keys() == {"type", "delta"} for event in words)
    assert "".join(event["delta"] for event in words) == hello.text
    deltas = [event for event in told if event not in words]
    assert all(delta.keys() == {"type", "audio"} for delta in deltas)
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert all(delta["audio"] for delta in deltas)
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == data
    used = hello.finished
    made = used.text_tokens + used.audio_tokens
    assert done == {
        "type": "speech.audio.done",
        "usage": {
            "input_tokens": used.prompt_tokens,
            "output_tokens": made,
            "total_tokens": used.prompt_tokens + made,
        },
        "finish_reason": "stop",
    }
    assert used.prompt_tokens > 0
    assert used.audio_tokens / 12.5 == len(hello.waveform) / RATE


def test_events_come_while_the_engine_runs(serve_api):
    script = Patient()
    with scripted(serve_api, script) as (site, _), site.client() as client:
        speech = client.audio.speech.with_streaming_response
        with speech.create(**SAY, stream_format="sse", response_format="pcm") as reply:
            lines = reply.iter_lines()
            words, _, first = (next(lines) for _ in range(3))
            script.may_go_on.set()
            *_, done = events_of("\n".join([first, *lines]) + "\n")
    assert json.loads(words.removeprefix("data: ")) == {
        "type": "speech.text.delta",
        "delta": "hello",
    }
    assert json.loads(first.removeprefix("data: ")) == {
        "type": "speech.audio.delta",
        "audio": base64.b64encode(Audio(SOUND.waveform, RATE).pcm16()).decode(),
    }
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12},
        "finish_reason": "length",
    }


def refusal(client, **changes):
    with pytest.raises(openai.APIStatusError) as failed:
        client.audio.speech.create(**{**SAY, **changes})
    assert failed.value.body["type"] == "invalid_request_error"
    assert failed.value.request_id.startswith("req_")
    return failed.value


@pytest.mark.parametrize(
    ("changes", "param", "message"),
    [
        ({"input": ""}, "input", "nothing to say"),
        ({"input": " \n "}, "input", "nothing to say"),
        ({"input": "x" * (MAX_READING_CHARS + 1)}, "input", "5001 characters and at most 5000"),
        ({"input": "?!…"}, "input", "can be spoken"),
        ({"voice": "nobody"}, "voice", "no voice 'nobody'"),
        ({"voice": {"id": "nobody"}}, "voice", "no voice 'nobody'"),
        ({"speed": 0.2}, "speed", "greater than or equal to 0.25"),
        ({"speed": 4.5}, "speed", "less than or equal to 4"),
        ({"response_format": "midi"}, "response_format", "'mp3', 'opus'"),
        ({"stream_format": "smoke"}, "stream_format", "'audio' or 'sse'"),
        ({"extra_body": {"seed": -1}}, "seed", "greater than or equal to 0"),
        ({"extra_body": {"seed": 2**70}}, "seed", "less than or equal to"),
        ({"extra_body": {"temperature": 2.5}}, "temperature", "less than or equal to 2"),
        ({"extra_body": {"top_k": -1}}, "top_k", "greater than or equal to 0"),
        ({"extra_body": {"pitch": 2}}, "pitch", "not supported here"),
        ({"instructions": "x" * 5000}, "instructions", "at most 4096 characters"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(client, changes, param, message):
    failure = refusal(client, **changes)
    assert isinstance(failure, openai.BadRequestError)
    assert failure.param == param
    assert message in failure.body["message"]


def test_a_language_that_it_does_not_speak_is_refused(client):
    failure = refusal(client, extra_body={"language": "fr"})
    assert failure.status_code == 400
    assert "no language 'fr'" in failure.body["message"]


@pytest.mark.parametrize("field", ["input", "instructions"])
def test_half_a_character_is_refused(nano_site, field):
    said = json.dumps({**SAY, field: "\ud800 hello"})  # the client could not even send it
    headers = {"content-type": "application/json"}
    reply = httpx.post(f"{nano_site.url}/v1/audio/speech", content=said, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(client):
    failure = refusal(client, model="tts-9")
    assert (failure.status_code, failure.param, failure.code) == (404, "model", "model_not_found")


def fails_at_once(request):
    yield Started(3)
    raise EngineError("the card is gone")


def fails_midway(request):
    yield from (Started(3), SOUND, SOUND)
    raise EngineError("the card is gone")


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (fails_at_once, "the card is gone"),
        ([Started(3), TextDelta("hello"), FINISHED], "the model stayed silent"),
        ([Started(3), SILENCE, SILENCE, FINISHED], "the model stayed silent"),
        ([Started(3), SILENCE], "the answer broke off"),
    ],
    ids=["failing", "mute", "silent", "broken"],
)
def test_what_fails_before_the_first_sound_has_a_status(serve_api, script, message, stream_format):
    with scripted(serve_api, script) as (site, _), site.client(max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as failed:
            client.audio.speech.create(**SAY, stream_format=stream_format)
        requests = site.service.metrics.value("kimi_key_requests_total", key="anonymous")
    failure = failed.value
    assert (failure.status_code, failure.code, failure.type) == (
        500,
        "engine_failed",
        "server_error",
    )
    assert message in failure.body["message"]
    assert failure.response.headers["x-should-retry"] == "false"
    assert requests == 1  # the client did as it was told


def test_sound_that_breaks_off_ends_the_connection(serve_api):
    with scripted(serve_api, fails_midway) as (site, _), site.client() as client:
        with pytest.raises(openai.APIConnectionError):
            client.audio.speech.create(**SAY, response_format="pcm")
        speech = client.audio.speech.with_streaming_response
        with speech.create(**SAY, response_format="pcm") as reply:
            assert reply.status_code == 200
            with pytest.raises(Exception, match="without sending complete message body"):
                reply.read()
        assert made_s(site) == 2.0


def test_events_that_break_off_say_why(serve_api):
    with scripted(serve_api, fails_midway) as (site, _), site.client() as client:
        text = client.audio.speech.create(**SAY, response_format="pcm", stream_format="sse").text
    *deltas, failure = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-1]]
    assert [delta["type"] for delta in deltas] == ["speech.audio.delta"] * 2
    assert failure["error"] == {
        "message": "the card is gone",
        "type": "server_error",
        "param": None,
        "code": "engine_failed",
    }


def test_who_leaves_frees_the_engine_and_pays_for_what_was_made(serve_api):
    script = [Started(3), SOUND, *[Stepped(0, 0)] * 200, FINISHED]
    with scripted(serve_api, script, pause_s=0.02) as (site, engine), site.client() as client:
        speech = client.audio.speech.with_streaming_response
        with speech.create(**SAY, response_format="pcm") as reply:
            next(reply.iter_bytes())
        assert eventually(lambda: engine.endings == ["cancelled"])
        assert eventually(lambda: made_s(site) == 0.5)


def test_who_leaves_before_the_first_sound_frees_the_engine_too(serve_api):
    script = [Started(3), *[Stepped(0, 0)] * 200, SOUND, FINISHED]
    with (
        scripted(serve_api, script, pause_s=0.02) as (site, engine),
        site.client(timeout=0.3) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            client.audio.speech.create(**SAY)
        assert eventually(lambda: engine.endings == ["cancelled"])
        assert made_s(site) == 0


def test_pauses_between_sentences_are_sent(serve_api):
    with scripted(serve_api, [SOUND, FINISHED]) as (site, engine), site.client() as client:
        data = client.audio.speech.create(
            **{**SAY, "input": "Hello there. The cat sleeps."}, response_format="pcm"
        ).content
    assert len(engine.turns) == 2
    assert heard(data, "pcm").duration_s == pytest.approx(0.5 + 0.25 + 0.5)


def test_the_document_tells_of_every_format(nano_site):
    document = httpx.get(f"{nano_site.url}/v1/openapi.json").json()
    operation = document["paths"]["/audio/speech"]["post"]
    content = operation["responses"]["200"]["content"]
    assert content.keys() == {*MEDIA_TYPES.values(), "text/event-stream"}
    for media_type in MEDIA_TYPES.values():
        assert content[media_type]["schema"] == {"type": "string", "format": "binary"}
    fields = document["components"]["schemas"]["SpeechRequest"]["properties"]
    assert all(field.get("description") for field in fields.values())
