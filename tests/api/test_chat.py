"""POST /v1/chat/completions through the official client."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import json
import time

import numpy as np
import pytest
import soundfile

from kimi_demo.audio import INPUT_SAMPLE_RATE, read
from kimi_demo.events import (
    collect,
)
from kimi_demo.intents import Ask, Chat, Choose
from kimi_demo.messages import Message
from tests.api.chats import (
    DOG,
    EXAMPLES,
    RATE,
    SPOKEN,
    STREAMED,
    ask,
    check_chunks,
    check_frame,
    check_usage,
    heard,
    pcm_of,
    reason_of,
    spoken_in,
    user,
)

# What nano answers: all that it does without a server.


def test_a_typed_question(client, typed_answer):
    reply = ask(client)
    choice = check_frame(reply, "nano")
    assert choice.message.content == typed_answer.text
    assert choice.message.heard == (typed_answer.heard or None)
    assert choice.message.audio is None
    assert choice.finish_reason == reason_of(typed_answer)
    assert reply.usage.prompt_tokens == typed_answer.finished.prompt_tokens
    assert reply.choice_probabilities is None
    assert reply.usage.prompt_tokens_details.audio_tokens == 0


def test_the_async_client(nano_site, typed_answer):
    async def answers():
        async with nano_site.async_client() as client:
            return await asyncio.gather(ask(client), ask(client, model="gpt-4o-audio-preview"))

    replies = asyncio.run(answers())
    for reply, model in zip(replies, ("nano", "gpt-4o-audio-preview"), strict=True):
        assert check_frame(reply, model).message.content == typed_answer.text


def test_a_spoken_question_and_a_spoken_answer(client, nano_site, spoken_answer):
    in_before = nano_site.service.metrics.value(
        "kimi_key_audio_seconds_total", key="anonymous", direction="in"
    )
    reply = ask(client, [user(heard())], **SPOKEN)
    choice = check_frame(reply, "nano")
    audio = choice.message.audio
    assert choice.message.content is None
    assert choice.message.heard == (spoken_answer.heard or None)
    assert choice.finish_reason == reason_of(spoken_answer)
    assert audio.transcript == spoken_answer.text
    assert audio.id.startswith("audio_")
    assert time.time() + 3000 < audio.expires_at < time.time() + 3700
    samples, rate = spoken_in(audio)
    assert rate == RATE
    np.testing.assert_allclose(samples, pcm_of(spoken_answer), atol=1)
    assert np.abs(samples).max() > 300
    made = reply.usage.completion_tokens_details
    assert made.audio_tokens == spoken_answer.finished.audio_tokens
    assert made.text_tokens == spoken_answer.finished.text_tokens
    in_after = nano_site.service.metrics.value(
        "kimi_key_audio_seconds_total", key="anonymous", direction="in"
    )
    prompt_s = reply.usage.prompt_tokens_details.audio_tokens / 12.5
    assert in_after - in_before == pytest.approx(prompt_s, abs=0.1)


@pytest.fixture(scope="module")
def about_dog(nano):
    """What the table asks of the sound of a dog."""
    sound = read(EXAMPLES / "sound-dog.wav", sample_rate=INPUT_SAMPLE_RATE)
    return Ask.about(sound, "which sound?")


@pytest.mark.parametrize("order", [1, -1])
def test_a_question_about_a_sound(client, nano, about_dog, order):
    """Whichever comes first."""
    parts = ["which sound?", heard("sound-dog.wav")][::order]
    choice = check_frame(ask(client, [user(*parts)]), "nano")
    words, sound = about_dog.messages[0].parts
    if order == -1:
        about_dog = dataclasses.replace(about_dog, messages=(Message("user", (sound, words)),))
    own = collect(nano.stream(about_dog))
    assert choice.message.content == own.text != ""
    assert choice.finish_reason == reason_of(own)


@pytest.fixture(scope="module")
def chosen(nano, about_dog):
    """options -> the answer of nano that weighs them."""

    def choose(options):
        return collect(nano.stream(Choose(about_dog.messages, options=tuple(options))))

    return choose


def test_a_guided_choice(client, chosen):
    options = ["rain", "dog", "bell", "siren"]
    messages = [user("which sound?", heard("sound-dog.wav"))]
    reply = ask(client, messages, extra_body={"guided_choice": options})
    choice = check_frame(reply, "nano")
    assert sum(reply.choice_probabilities) == pytest.approx(1.0)
    likeliest = max(zip(reply.choice_probabilities, options, strict=True))
    assert choice.message.content == likeliest[1] == chosen(options).text
    assert reply.choice_probabilities == pytest.approx(chosen(options).probabilities, abs=2e-3)
    assert choice.finish_reason == "stop"


def test_a_follow_up_by_audio_id(client, nano):
    """The reply's message can be sent back as it is, or by its id alone."""
    question = {"role": "user", "content": "What is the capital of France?"}
    first = ask(client, [question], **SPOKEN).choices[0].message
    then = {"role": "user", "content": "And of Italy?"}
    by_id = {"role": "assistant", "audio": {"id": first.audio.id}}
    few = {"max_tokens": 20}
    told = [ask(client, [question, answer, then], **few) for answer in (first, by_id)]
    words = {"role": "assistant", "content": first.audio.transcript}
    unspoken = ask(client, [question, words, then], **few)
    assert check_frame(told[0], "nano").message == check_frame(told[1], "nano").message
    codes = [reply.usage.prompt_tokens_details.audio_tokens for reply in (*told, unspoken)]
    own = collect(nano.stream(Chat.about(question["content"])))
    assert codes[0] == codes[1] == len(own.finished.audio_codes) > 0
    assert codes[2] == 0


def test_few_steps(client):
    choice = check_frame(ask(client, max_completion_tokens=5), "nano")
    assert choice.finish_reason == "length"
    older = ask(client, max_tokens=5, **SPOKEN)
    choice = check_frame(older, "nano")
    assert choice.finish_reason == "length"
    assert older.usage.completion_tokens_details.text_tokens == 5
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(choice.message.audio.data)))
    assert len(samples) / RATE < 0.5


def test_a_seed_repeats_the_answer(client):
    hot = {"temperature": 2.0, "max_tokens": 25, "extra_body": {"top_k": 50}}
    texts = [ask(client, seed=seed, **hot).choices[0].message.content for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert {*texts[2:]} - {texts[0]}


def test_a_system_message_has_no_effect_on_nano(client, typed_answer):
    raw = client.chat.completions.with_raw_response.create(
        model="nano", messages=[{"role": "system", "content": "Answer like a cat."}, *DOG]
    )
    assert raw.headers["x-ignored"] == "system"
    assert check_frame(raw.parse(), "nano").message.content == typed_answer.text
    plain = client.chat.completions.with_raw_response.create(
        model="nano", messages=DOG, max_tokens=1
    )
    assert "x-ignored" not in plain.headers


def test_what_is_given_for_nothing_is_said(client):
    raw = client.chat.completions.with_raw_response.create(
        model="nano",
        messages=DOG,
        max_tokens=1,
        audio={"voice": "alloy", "format": "mp3"},
        stream_options={"include_usage": True},
    )
    assert raw.headers["x-ignored"] == "audio, stream_options"


def test_a_stop_ends_nanos_answer(client, typed_answer):
    middle = len(typed_answer.text) // 2
    stop = typed_answer.text[middle : middle + 3]
    reply = ask(client, stop=["xyz", stop])
    choice = check_frame(reply, "nano")
    assert choice.message.content == typed_answer.text.partition(stop)[0]
    assert reply.usage.completion_tokens_details.text_tokens < typed_answer.finished.text_tokens
    assert choice.finish_reason == "stop"


# Streams.


def unheard(deltas, answer):
    """The deltas without those that tell what was heard, which must be told in full."""
    told = "".join(delta["heard"] for delta in deltas if "heard" in delta)
    assert told.strip() == answer.heard
    return [delta for delta in deltas if "heard" not in delta]


def test_a_stream_of_text(client, typed_answer):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    *_, usage = chunks
    deltas, reason = check_chunks(chunks, "nano")
    deltas = unheard(deltas, typed_answer)
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert all(set(delta) == {"content"} for delta in deltas[1:-1])
    assert len(deltas) > 3
    assert "".join(delta["content"] for delta in deltas[:-1]) == typed_answer.text
    assert reason == reason_of(typed_answer)
    assert usage.choices == []
    check_usage(usage.usage)
    for chunk in chunks[:-1]:
        assert chunk.usage is None
        assert "usage" in chunk.model_fields_set


def test_a_stream_of_speech(client, typed_answer):
    chunks = list(ask(client, stream=True, **STREAMED))
    deltas, reason = check_chunks(chunks, "nano")
    deltas = unheard(deltas, typed_answer)
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert deltas[0] == {"role": "assistant"}
    assert deltas[-1] == {}
    assert all(set(delta) == {"audio"} for delta in deltas[1:-1])
    first, *audio, last = [delta["audio"] for delta in deltas[1:-1]]
    assert set(first) == {"id"}
    assert set(last) == {"expires_at"}
    assert time.time() + 3000 < last["expires_at"] < time.time() + 3700
    assert {name for part in audio for name in part} == {"transcript", "data"}
    assert all(len(part) == 1 for part in audio)
    assert "transcript" in audio[0]  # words run ahead of their sound
    assert "".join(part.get("transcript", "") for part in audio) == typed_answer.text
    pcm = b"".join(base64.b64decode(part.get("data", "")) for part in audio)
    samples = np.frombuffer(pcm, "<i2")
    np.testing.assert_allclose(samples, pcm_of(typed_answer), atol=1)
    assert np.abs(samples).max() > 300
    assert reason == reason_of(typed_answer)
    spoken, _ = spoken_in(ask(client, **SPOKEN).choices[0].message.audio)
    np.testing.assert_array_equal(spoken, samples)


def test_a_streamed_answer_is_kept(client, typed_answer):
    deltas, _ = check_chunks(list(ask(client, stream=True, **STREAMED)), "nano")
    answer = {"role": "assistant", "audio": {"id": deltas[1]["audio"]["id"]}}
    reply = ask(client, [*DOG, answer, user("And a cat?")], max_tokens=1)
    codes = typed_answer.finished.audio_codes
    assert reply.usage.prompt_tokens_details.audio_tokens == len(codes) > 0


def test_the_async_stream(nano_site, typed_answer):
    async def read():
        async with nano_site.async_client() as client:
            return [chunk async for chunk in await ask(client, stream=True, **STREAMED)]

    deltas, reason = check_chunks(asyncio.run(read()), "nano")
    audio = [delta["audio"] for delta in unheard(deltas, typed_answer)[1:-1]]
    assert "".join(part.get("transcript", "") for part in audio) == typed_answer.text
    assert reason == reason_of(typed_answer)


def test_the_last_line_says_that_all_is_done(client):
    with client.chat.completions.with_streaming_response.create(
        model="nano", messages=DOG, stream=True, max_tokens=1
    ) as response:
        lines = [line for line in response.iter_lines() if line]
        assert response.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    last = json.loads(lines[-2].removeprefix("data: "))
    assert last["choices"] == [
        {"index": 0, "delta": {}, "finish_reason": "length", "logprobs": None}
    ]


def test_a_guided_choice_streams_its_probabilities(client, chosen):
    messages = [user("which sound?", heard("sound-dog.wav"))]
    extra = {"guided_choice": ["rain", "dog"]}
    chunks = list(ask(client, messages, stream=True, extra_body=extra))
    deltas, _ = check_chunks(chunks, "nano")
    own = chosen(extra["guided_choice"])
    assert "".join(delta.get("content", "") for delta in deltas) == own.text
    assert chunks[-1].choice_probabilities == pytest.approx(own.probabilities, abs=2e-3)
    assert "choice_probabilities" not in chunks[-2].model_fields_set
