"""Requests say what they want; what they say without wanting anything is passed over."""

import pytest
from pydantic import ValidationError

from kimi_demo.wire.chat import ChatRequest
from kimi_demo.wire.speech import SpeechRequest

CHAT = {"model": "nano", "messages": [{"role": "user", "content": "hi"}]}
SPEECH = {"model": "nano", "input": "hi"}


def blame(kind, values):
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(values)
    return refused.value.errors()[0]["loc"][0]


@pytest.mark.parametrize(
    "blank",
    [
        {"tools": []},
        {"tools": None, "tool_choice": None},
        {"logit_bias": {}},
        {"functions": None, "reasoning_effort": None},
        {"n": 1, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0},
        {"logprobs": False, "top_logprobs": None, "store": False},
        {"tool_choice": "none", "parallel_tool_calls": True, "service_tier": "auto"},
        {"seed": None, "stop": None, "stream": None, "audio": None, "user": "u", "metadata": {}},
    ],
)
def test_what_asks_for_nothing_is_passed_over(blank):
    plain = ChatRequest.model_validate(CHAT)
    found = ChatRequest.model_validate({**CHAT, **blank})
    for name in ("messages", "modalities", "audio", "stop", "seed", "temperature"):
        assert getattr(found, name) == getattr(plain, name), name


def test_null_is_the_usual_value():
    nothing = dict.fromkeys(("voice", "speed", "response_format", "stream_format", "seed"))
    found = SpeechRequest.model_validate({**SPEECH, **nothing, "stream": None})
    assert found == SpeechRequest.model_validate(SPEECH)


@pytest.mark.parametrize("name", ["input", "model"])
def test_what_is_needed_must_not_be_null(name):
    assert blame(SpeechRequest, {**SPEECH, name: None}) == name


@pytest.mark.parametrize(
    ("kind", "values", "name"),
    [
        (SpeechRequest, {**SPEECH, "stream": True}, "stream"),
        (ChatRequest, {**CHAT, "tools": [{"type": "function"}]}, "tools"),
        (ChatRequest, {**CHAT, "tool_choice": "auto"}, "tool_choice"),
        (ChatRequest, {**CHAT, "reasoning_effort": "low"}, "reasoning_effort"),
    ],
)
def test_what_asks_for_more_is_refused_by_name(kind, values, name):
    assert blame(kind, values) == name


def test_parts_of_messages_are_as_strict():
    odd = {"role": "user", "content": "hi", "mood": "good"}
    assert blame(ChatRequest, {**CHAT, "messages": [odd]}) == "messages"
    blank = {"role": "assistant", "content": "ho", "tool_calls": [], "function_call": None}
    messages = [CHAT["messages"][0], blank, CHAT["messages"][0]]
    assert len(ChatRequest.model_validate({**CHAT, "messages": messages}).messages) == 3


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_no_object_is_refused(values):
    with pytest.raises(ValidationError):
        ChatRequest.model_validate(values)
