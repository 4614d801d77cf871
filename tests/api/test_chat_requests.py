"""POST /v1/chat/completions: what a request says, what reaches the model, and what is refused."""

from __future__ import annotations

import base64
import dataclasses
import io

import httpx
import numpy as np
import openai
import pytest
import soundfile

from kimi_demo.api.history import AnswerStore
from kimi_demo.api.keys import Keys
from kimi_demo.audio import Audio, from_samples
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.events import (
    AudioDelta,
    Started,
    Stepped,
    TextDelta,
    Weighed,
)
from kimi_demo.intents import Ask
from kimi_demo.messages import AudioPart, Message, Option, SpokenPart, TextPart
from kimi_demo.tasks import Memory, TaskTable
from tests.api.chats import (
    ANSWER,
    CODES,
    DOG,
    EXAMPLES,
    HEARD,
    RATE,
    SOUND,
    SPOKEN,
    STREAMED,
    WRITTEN,
    ask,
    check_chunks,
    check_frame,
    finished,
    heard,
    user,
)
from tests.turns import turn_of


def scripted(script, **tasks):
    table = dataclasses.replace(TaskTable(), **tasks)
    return ScriptedEngine(script, Capabilities("scripted", "label", "cpu", 1, RATE, tasks=table))


@pytest.fixture
def serving_script(serve_api):
    """(script, task table's fields) -> engine and client."""
    open_ = []

    def serve(script, options=None, **tasks):
        engine = scripted(script, **tasks)
        context = serve_api(engine, **options or {})
        site = context.__enter__()
        open_.append(context)
        return engine, site

    yield serve
    for context in open_:
        context.__exit__(None, None, None)


# What the model heard: an addition, which the official client hands through.


@pytest.mark.parametrize("options", [{}, SPOKEN])
def test_what_was_heard_stands_beside_the_answer(serving_script, options):
    engine, site = serving_script([ANSWER[0], *HEARD, *ANSWER[1:]])
    with site.client() as client:
        message = ask(client, [user(heard())], "scripted", **options).choices[0].message
        assert message.heard == "what does a dog say?"
        assert "hello" in (message.content, message.audio and message.audio.transcript)
        ask(client, [user(heard()), message, user(heard())], "scripted", **options)
    assert len(engine.turns) == 2  # the reply with all its fields is taken as history


@pytest.mark.parametrize("options", [{}, STREAMED])
def test_what_was_heard_is_streamed_before_the_answer(serving_script, options):
    _, site = serving_script([ANSWER[0], *HEARD, *ANSWER[1:]])
    with site.client() as client:
        chunks = list(ask(client, [user(heard())], "scripted", stream=True, **options))
        with client.chat.completions.stream(
            model="scripted", messages=[user(heard())], **options
        ) as stream:
            folded = stream.get_final_completion().choices[0].message
    deltas, _ = check_chunks(chunks, "scripted")
    told = [number for number, delta in enumerate(deltas) if "heard" in delta]
    assert [deltas[number] for number in told] == [{"heard": event.text} for event in HEARD]
    begins = next(n for n, delta in enumerate(deltas) if said_in(delta))
    assert max(told) < begins
    assert folded.heard == " what does a dog say?"
    assert "heard" not in {name for delta in deltas[begins:] for name in delta}


def said_in(delta):
    return delta.get("content") or delta.get("audio", {}).get("transcript")


@pytest.mark.parametrize("options", [{}, SPOKEN])
def test_who_writes_nothing_down_says_nothing_of_it(serving_script, options):
    _, site = serving_script(ANSWER)
    reply = ask(site.client(), [user(heard())], "scripted", **options)
    assert reply.choices[0].message.heard is None


# What the model is told.


def test_text_alone_and_sound_alone_are_conversation(serving_script):
    engine, site = serving_script(WRITTEN)
    client = site.client()
    ask(client, model="scripted", temperature=0.5, seed=3, max_tokens=9)
    silence = np.zeros(16_000, np.float32)
    recording = from_samples(*soundfile.read(EXAMPLES / "question-en.wav")).resampled(16_000)
    waveform = np.concatenate([silence, recording.waveform, silence])
    sound = {"data": base64.b64encode(Audio(waveform, 16_000).wav()).decode(), "format": "wav"}
    message = user({"type": "input_audio", "input_audio": sound})
    ask(client, [message], model="scripted", extra_body={"repetition_penalty": 1.5})
    typed, spoken = engine.turns
    tasks = engine.capabilities.tasks
    assert typed.messages == (Message("user", (TextPart("What does a dog say?"),)),)
    assert (typed.output, typed.seed, typed.max_new_tokens) == ("text", 3, 9)
    text = dataclasses.replace(tasks.chat_sampling.text, temperature=0.5)
    assert typed.sampling == dataclasses.replace(tasks.chat_sampling, text=text)
    (part,) = spoken.messages[0].parts
    assert part.audio.duration_s == pytest.approx(recording.duration_s, abs=0.4)  # no silence
    assert spoken.sampling.text.repetition_penalty == 1.5
    assert (spoken.max_new_tokens, spoken.options) == (None, ())


def test_text_with_sound_is_a_question_about_it(serving_script):
    engine, site = serving_script(WRITTEN)
    ask(site.client(), [user("What is it?", heard("sound-dog.wav"))], model="scripted")
    ask(site.client(), [user(heard("sound-dog.wav"), "What is it?")], "scripted", max_tokens=7)
    first, second = engine.turns
    tasks = engine.capabilities.tasks
    sound = first.messages[0].parts[1].audio
    asked = turn_of(Ask.about(sound, "What is it?"), tasks)
    assert dataclasses.replace(first, messages=()) == dataclasses.replace(asked, messages=())
    assert first.messages[0].parts[0] == asked.messages[0].parts[0]
    assert sound.duration_s == pytest.approx(
        soundfile.info(EXAMPLES / "sound-dog.wav").duration, abs=0.01
    )
    assert isinstance(second.messages[0].parts[0], AudioPart)
    assert second.messages[0].parts[1] == TextPart("What is it?", asks_for_answer=True)
    assert second.max_new_tokens == 7


def test_text_with_sound_may_be_answered_aloud(serving_script):
    engine, site = serving_script(ANSWER)
    ask(site.client(), [user("Repeat:", heard())], model="scripted", **SPOKEN)
    (request,) = engine.turns
    assert (request.output, request.max_new_tokens) == ("both", None)


def test_an_answer_that_runs_on_is_asked_for_again(serving_script):
    def script(request):
        runs_on = request.sampling == TaskTable().listening_sampling
        text = "on and on" if runs_on else "a dog"
        return [Started(40), TextDelta(text), finished("loop" if runs_on else "stop")]

    engine, site = serving_script(script)
    question = [user("What is it?", heard("sound-dog.wav"))]
    reply = ask(site.client(), question, model="scripted")
    assert check_frame(reply, "scripted").message.content == "a dog"
    assert len(engine.turns) == 2
    limited = ask(site.client(), question, model="scripted", max_tokens=3)
    assert limited.choices[0].message.content == "on and on"
    assert limited.choices[0].finish_reason == "length"
    assert len(engine.turns) == 3
    streamed = list(ask(site.client(), question, model="scripted", stream=True))
    assert check_chunks(streamed, "scripted")[1] == "length"
    assert len(engine.turns) == 4


def test_a_guided_choice_is_weighed(serving_script):
    script = [Started(9), Weighed((0.25, 0.75)), TextDelta("no"), finished()]
    engine, site = serving_script(script)
    reply = ask(site.client(), model="scripted", extra_body={"guided_choice": ["yes", "no"]})
    assert engine.turns[0].options == (Option("yes", "yes"), Option("no", "no"))
    assert engine.turns[0].output == "text"
    assert reply.choices[0].message.content == "no"
    assert reply.choice_probabilities == [0.25, 0.75]


def test_who_can_only_speak_is_heard_in_writing(serving_script):
    engine, site = serving_script(ANSWER, reply_outputs=("both",))
    reply = ask(site.client(), model="scripted")
    assert engine.turns[0].output == "both"
    choice = check_frame(reply, "scripted")
    assert (choice.message.content, choice.message.audio) == ("hello", None)
    deltas, _ = check_chunks(list(ask(site.client(), model="scripted", stream=True)), "scripted")
    assert [delta.get("content") for delta in deltas] == ["", "he", "llo", None]


def test_who_cannot_speak_says_so(serving_script):
    _, site = serving_script(WRITTEN, reply_outputs=("text",))
    with pytest.raises(openai.BadRequestError, match="not learned") as failure:
        ask(site.client(), model="scripted", **SPOKEN)
    assert failure.value.param == "modalities"


def test_the_codes_of_an_answer_come_back(serving_script):
    engine, site = serving_script(ANSWER)
    first = ask(site.client(), model="scripted", **SPOKEN).choices[0].message.audio
    assert first.transcript == "hello"
    answer = {"role": "assistant", "audio": {"id": first.id}}
    ask(site.client(), [*DOG, answer, *DOG], model="scripted")
    assert engine.turns[1].messages[1] == Message("assistant", (SpokenPart(CODES, "hello"),))
    assert [message.role for message in engine.turns[1].messages] == [
        "user",
        "assistant",
        "user",
    ]


def test_an_answer_expires(serving_script):
    now = [1_000_000.0]
    store = AnswerStore(kept_s=60, clock=lambda: now[0])
    _, site = serving_script(ANSWER, {"answers": store})
    audio = ask(site.client(), model="scripted", **SPOKEN).choices[0].message.audio
    assert audio.expires_at == 1_000_060
    messages = [*DOG, {"role": "assistant", "audio": {"id": audio.id}}, *DOG]
    ask(site.client(), messages, model="scripted")
    now[0] += 61
    with pytest.raises(openai.NotFoundError, match=audio.id) as failure:
        ask(site.client(), messages, model="scripted")
    assert failure.value.code == "audio_not_found"
    assert failure.value.param == "messages"


def test_the_answers_of_others_are_not_found(serving_script):
    keys = Keys.of("alice=secret-of-alice,bob=secret-of-bob")
    _, site = serving_script(ANSWER, {"keys": keys})
    alice, bob = site.client("secret-of-alice"), site.client("secret-of-bob")
    audio = ask(alice, model="scripted", **SPOKEN).choices[0].message.audio
    messages = [*DOG, {"role": "assistant", "audio": {"id": audio.id}}, *DOG]
    ask(alice, messages, model="scripted")
    with pytest.raises(openai.NotFoundError) as failure:
        ask(bob, messages, model="scripted")
    assert failure.value.code == "audio_not_found"
    used = site.service.metrics.value
    made = {"key": "alice", "direction": "out"}
    assert used("kimi_key_audio_seconds_total", **made) == pytest.approx(0.2)
    assert used("kimi_key_audio_seconds_total", **made | {"key": "bob"}) == 0


def test_a_system_message_leads_where_it_is_followed(serving_script):
    engine, site = serving_script(WRITTEN)
    system = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "woof"}
    raw = site.client().chat.completions.with_raw_response.create(
        model="scripted", messages=[system, *DOG, answer, user(heard())]
    )
    assert "x-ignored" not in raw.headers
    first, second, third = engine.turns[0].messages
    assert first.parts == (TextPart("Be brief."), TextPart("What does a dog say?"))
    assert second.parts == (TextPart("woof"),)
    assert [type(part) for part in third.parts] == [AudioPart]


def test_a_system_message_stays_when_turns_are_forgotten(serving_script):
    engine, site = serving_script(WRITTEN, memory=Memory(turns=1))
    turns = [
        message
        for n in range(3)
        for message in (user(f"question {n}"), {"role": "assistant", "content": f"answer {n}"})
    ]
    system = {"role": "developer", "content": "Be brief."}
    lost = {"role": "assistant", "audio": {"id": "of long ago"}}
    messages = [system, user("old"), lost, *turns, *DOG]
    ask(site.client(), messages, model="scripted")
    assert [[part.text for part in m.parts] for m in engine.turns[0].messages] == [
        ["Be brief.", "question 2"],
        ["answer 2"],
        ["What does a dog say?"],
    ]


# Stop texts.


@pytest.mark.parametrize(
    ("stop", "expected"), [("the", "one thing "), (["x", "en t"], "one thing th")]
)
def test_a_stop_split_over_deltas(serving_script, stop, expected):
    texts = ["one", " t", "hing t", "hen", " the", "re"]
    steps = [event for text in texts for event in (TextDelta(text), Stepped(1, 0))]
    engine, site = serving_script([Started(40), *steps, finished()])
    choice = check_frame(ask(site.client(), model="scripted", stop=stop), "scripted")
    assert (choice.message.content, choice.finish_reason) == (expected, "stop")
    chunks = list(ask(site.client(), model="scripted", stop=stop, stream=True))
    told, reason = check_chunks(chunks, "scripted")
    assert "".join(delta.get("content", "") for delta in told) == expected
    assert reason == "stop"
    assert engine.endings == ["cancelled"] * 2


def test_a_stop_keeps_the_sound_so_far(serving_script):
    engine, site = serving_script(ANSWER)
    reply = ask(site.client(), model="scripted", stop="llo", **SPOKEN)
    choice = check_frame(reply, "scripted")
    assert engine.endings == ["cancelled"]
    assert (choice.finish_reason, choice.message.audio.transcript) == ("stop", "he")
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(choice.message.audio.data)))
    assert len(samples) == len(SOUND)
    made = reply.usage.completion_tokens_details
    assert (made.text_tokens, made.audio_tokens) == (2, 1)
    answer = {"role": "assistant", "audio": {"id": choice.message.audio.id}}
    ask(site.client(), [*DOG, answer, *DOG], model="scripted")
    assert engine.turns[1].messages[1].parts == (TextPart("he"),)


@pytest.mark.parametrize("format", ["wav", "mp3", "flac", "opus", "aac", "pcm16"])
def test_formats(serving_script, format):
    _, site = serving_script(ANSWER)
    options = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": format}}
    audio = ask(site.client(), model="scripted", **options).choices[0].message.audio
    data = base64.b64decode(audio.data)
    if format == "pcm16":
        assert len(data) == 2 * 2 * len(SOUND)
        return
    magic = {"wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS", "mp3": b"", "aac": b"\xff"}
    assert data.startswith(magic[format])
    assert len(data) > 100


# Refusals.


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_p": 0.5}, "top_p"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"modalities": []}, "modalities"),
        ({"modalities": ["text", "audio"]}, "audio"),
        ({**SPOKEN, "audio": {"voice": "nobody", "format": "wav"}}, "audio.voice"),
        ({**SPOKEN, "stream": True}, "audio.format"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"seed": 2**70}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"extra_body": {"guided_choice": ["a", "a"]}}, "guided_choice"),
        ({"extra_body": {"guided_choice": ["a", " "]}}, "guided_choice"),
        ({**SPOKEN, "extra_body": {"guided_choice": ["a", "b"]}}, "guided_choice"),
        ({"extra_body": {"guided_choice": ["a" * 999, "bb"]}}, "guided_choice"),
    ],
)
def test_what_cannot_be_had_is_named(client, options, param):
    with pytest.raises(openai.BadRequestError) as failure:
        ask(client, **options)
    assert failure.value.param.split(".")[: param.count(".") + 1] == param.split(".")
    assert failure.value.type == "invalid_request_error"
    assert failure.value.body["message"]
    assert failure.value.request_id


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [user({"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}})],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": "  "}],
        [{"role": "tool", "content": "3", "tool_call_id": "x"}],
        [*DOG, {"role": "assistant", "content": "woof"}],
        [user({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}})],
        [user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})],
    ],
)
def test_messages_that_cannot_be_used(client, messages):
    with pytest.raises(openai.BadRequestError) as failure:
        ask(client, messages)
    assert failure.value.param.startswith("messages")


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '{"model":"nano","messages":"\\ud800"}'])
def test_a_body_that_cannot_be_read(nano_site, body):
    headers = {"content-type": "application/json"}
    reply = httpx.post(f"{nano_site.url}/v1/chat/completions", content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as failure:
        ask(client, model="gpt-9")
    assert (failure.value.param, failure.value.code) == ("model", "model_not_found")


# Failures.


def breaking(*events):
    def script(_):
        yield from events
        raise EngineError("the device is out of memory")

    return script


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_before_the_answer_has_a_status(serving_script, stream):
    _, site = serving_script(breaking(Started(40), Stepped(1, 0)))
    with pytest.raises(openai.InternalServerError, match="out of memory") as failure:
        ask(site.client(), model="scripted", stream=stream)
    assert failure.value.code == "engine_failed"
    assert failure.value.response.headers["x-should-retry"] == "false"


def test_a_failure_in_the_middle_is_the_last_event(serving_script):
    _, site = serving_script(breaking(Started(40), TextDelta("he"), AudioDelta(SOUND, RATE)))
    chunks = ask(site.client(), model="scripted", stream=True, **STREAMED)
    seen = [next(chunks).choices[0].delta.model_dump(exclude_unset=True) for _ in range(4)]
    assert [set(delta.get("audio", delta)) for delta in seen] == [
        {"role"},
        {"id"},
        {"transcript"},
        {"data"},
    ]
    with pytest.raises(openai.APIError, match="out of memory") as failure:
        next(chunks)
    assert failure.value.code == "engine_failed"


def test_an_answer_that_breaks_off(serving_script):
    _, site = serving_script([Started(40), TextDelta("he")])
    with pytest.raises(openai.InternalServerError, match="broke off"):
        ask(site.client(), model="scripted")


def test_blank_words_beside_a_sound_say_nothing(client, spoken_answer):
    sound = heard()
    for blank in ("", "  "):
        reply = ask(client, [user({"type": "text", "text": blank}, sound)])
        assert reply.choices[0].message.content == spoken_answer.text


@pytest.mark.parametrize("old", ["👍", "", "a word " * 60])
def test_an_old_turn_that_cannot_be_read_is_forgotten(client, typed_answer, old):
    told = [{"role": "user", "content": old}, {"role": "assistant", "content": "ok"}]
    assert ask(client, [*told, *DOG]).choices[0].message.content == typed_answer.text
