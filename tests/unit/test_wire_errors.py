"""The table of errors, read in both directions."""

import json

import pytest

from kimi_demo import errors
from kimi_demo.api.app import _named
from kimi_demo.wire.errors import HIDDEN, headers_for, kind_of, reply_to, told
from kimi_demo.wire.sse import failure

CLASSES = [
    errors.AccessError,
    errors.AudioError,
    errors.EngineAway,
    errors.EngineBusy,
    errors.EngineError,
    errors.InputError,
    errors.TooLarge,
    errors.UnknownName,
]


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_crosses_the_wire(error):
    sent = error("what to do")
    kind, body = kind_of(sent), reply_to(sent).model_dump()
    assert set(body["error"]) == {"message", "type", "param", "code"}
    back = told(kind.status, json.loads(json.dumps(body)), headers_for(sent))
    assert type(back) is error
    assert str(back) == "what to do"


@pytest.mark.parametrize("error", [errors.AudioError, errors.EngineError, errors.EngineBusy])
def test_an_error_crosses_in_the_middle_of_a_stream(error):
    line = failure(error("what to do")).decode().removeprefix("data: ")
    back = told(0, json.loads(line))
    assert type(back) is error


def test_parameter_and_reason_cross_with_it():
    sent = errors.UnknownName("no such model", param="model", code="model_not_found")
    back = told(404, reply_to(sent).model_dump())
    assert (back.param, back.code) == ("model", "model_not_found")


def test_when_to_come_back_crosses_with_it():
    sent = errors.EngineBusy("full", retry_after_s=17)
    assert headers_for(sent) == {"retry-after": "17", "x-should-retry": "true"}
    assert told(503, reply_to(sent).model_dump(), headers_for(sent)).retry_after_s == 17


def test_only_what_may_pass_is_tried_again():
    retried = {error: headers_for(error("x")).get("x-should-retry") for error in CLASSES}
    assert retried[errors.EngineBusy] == "true"
    assert retried[errors.EngineError] == retried[errors.EngineAway] == "false"
    assert retried[errors.InputError] is None  # clients do not try again after a 400


def test_details_of_a_bug_stay_in_the_log():
    body = reply_to(ValueError("/home/me/secret.py")).model_dump()
    assert body["error"] == {
        "message": HIDDEN,
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"error": {"message": "bad key", "type": "x", "code": "y"}}, errors.AccessError),
        (403, {"error": {"message": "no"}}, errors.AccessError),
        (404, {"error": {"message": "no model"}}, errors.UnknownName),
        (404, {"detail": "Not Found"}, errors.UnknownName),
        (413, "too big", errors.TooLarge),
        (422, {"detail": [{"msg": "x"}]}, errors.InputError),
        (429, {"error": {"message": "slow down"}}, errors.EngineBusy),
        (500, "", errors.EngineError),
        (502, "<html>", errors.EngineError),
        (503, None, errors.EngineBusy),
        (418, [], errors.InputError),
    ],
)
def test_servers_of_others_are_understood(status, body, error):
    found = told(status, body)
    assert type(found) is error
    assert str(found)


@pytest.mark.parametrize(
    ("places", "name"),
    [
        (("body", "speed"), "speed"),
        (("body", "voice", "str"), "voice"),
        (("body", "voice", "VoiceId", "id"), "voice.id"),
        (("body", "messages", 0, "user", "content", "str"), "messages[0].content"),
        (
            ("body", "messages", 2, "user", "content", "list[union]", 1, "input_audio",
             "input_audio", "data"),
            "messages[2].content[1].input_audio.data",
        ),
        (("body", "timestamp_granularities[]"), "timestamp_granularities[]"),
        (("body",), None),
    ],
)  # fmt: skip
def test_a_parameter_is_named_as_its_writer_knows_it(places, name):
    assert _named(places) == name


@pytest.mark.parametrize(
    ("places", "name"),
    [
        (("body", "user"), "user"),
        (("body", "str"), "str"),
        (("body", "messages", 0, "user", "user"), "messages[0].user"),
        (("body", "messages", 0, "user", "content", "list[union]", 0, "text", "cache_control"),
         "messages[0].content[0].cache_control"),
    ],
)  # fmt: skip
def test_what_should_not_be_there_is_named_whatever_it_is_called(places, name):
    assert _named(places, surplus=True) == name
