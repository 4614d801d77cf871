"""What the tests of chats ask, and what they look for in a reply."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path

import numpy as np
import soundfile

from kimi_demo.audio import Audio
from kimi_demo.events import (
    AudioDelta,
    Finished,
    HeardDelta,
    Started,
    Stepped,
    TextDelta,
    Timings,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "audio"
RATE = 24_000
SOUND = np.linspace(-0.5, 0.5, 2400, dtype=np.float32)
CODES = (5, 6)
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
STREAMED = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
DOG = [{"role": "user", "content": "What does a dog say?"}]


def finished(reason="stop"):
    return Finished(reason, 40, 3, 2, Timings(0.1, 0.2, 0.3, 0.2), CODES)


ANSWER = [
    Started(40),
    TextDelta("he"),
    Stepped(1, 0),
    AudioDelta(SOUND, RATE),
    Stepped(2, 1),
    TextDelta("llo"),
    AudioDelta(SOUND, RATE),
    Stepped(3, 2),
    finished(),
]
HEARD = [HeardDelta(" what does "), HeardDelta("a dog say?")]
WRITTEN = [event for event in ANSWER if not isinstance(event, AudioDelta)]


def heard(name="question-en.wav"):
    data = base64.b64encode((EXAMPLES / name).read_bytes()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def user(*content):
    parts = [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]
    return {"role": "user", "content": parts}


def ask(client, messages=DOG, model="nano", **options):
    return client.chat.completions.create(model=model, messages=messages, **options)


def check_frame(reply, model):
    """All that stands around an answer."""
    assert reply.id.startswith("chatcmpl-")
    assert reply.object == "chat.completion"
    assert abs(reply.created - time.time()) < 60
    assert reply.model == model
    (choice,) = reply.choices
    assert (choice.index, choice.logprobs) == (0, None)
    assert (choice.message.role, choice.message.refusal) == ("assistant", None)
    check_usage(reply.usage)
    return choice


def check_usage(usage):
    prompt, made = usage.prompt_tokens_details, usage.completion_tokens_details
    assert prompt.audio_tokens + prompt.text_tokens == usage.prompt_tokens > 0
    assert made.audio_tokens + made.text_tokens == usage.completion_tokens
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    assert min(prompt.audio_tokens, prompt.text_tokens) >= 0
    assert (prompt.cached_tokens, made.reasoning_tokens) == (0, 0)


def spoken_in(audio):
    """16-bit samples of a spoken answer, and their rate."""
    return soundfile.read(io.BytesIO(base64.b64decode(audio.data)), dtype="int16")


def reason_of(answer):
    return "stop" if answer.finished.reason == "stop" else "length"


def pcm_of(answer):
    return np.frombuffer(Audio(answer.waveform, RATE).pcm16(), "<i2")


def check_chunks(chunks, model):
    """What every chunk holds, as it stood on the wire; returns deltas and finish reasons."""
    assert len({chunk.id for chunk in chunks}) == 1
    for chunk in chunks:
        assert chunk.model_fields_set >= {"id", "object", "created", "model", "choices"}
        assert chunk.id.startswith("chatcmpl-")
        assert chunk.object == "chat.completion.chunk"
        assert chunk.created == chunks[0].created
        assert chunk.model == model
        for choice in chunk.choices:
            assert choice.model_fields_set == {"index", "delta", "finish_reason", "logprobs"}
            assert (choice.index, choice.logprobs) == (0, None)
    told = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert all(choice.finish_reason is None for choice in told[:-1])
    assert told[-1].delta.model_fields_set == set()
    deltas = [choice.delta.model_dump(exclude_unset=True) for choice in told]
    return deltas, told[-1].finish_reason
