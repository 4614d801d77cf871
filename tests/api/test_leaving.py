"""A client that goes away frees its slot within two decode steps, wherever its request is.

Nano computes, slowed down to steps of a tenth of a second, so that steps can be counted while a
connection ends. All is read off the server's metrics.
"""

import contextlib
import dataclasses
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from kimi_demo.engine import tasks
from kimi_demo.engine.base import Engine
from kimi_demo.events import Started, Stepped

STEP_S = 0.1
PREFILL_S = 0.6
TEXT = "The weather is fine today. The cat sleeps under the green tree."
SPEECH = ("/v1/audio/speech", {"model": "nano", "voice": "alloy", "input": TEXT})
CHAT = (
    "/v1/chat/completions",
    {"model": "nano", "messages": [{"role": "user", "content": "What does a dog say?"}]},
)
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}


class Slowed(Engine):
    """An engine that takes its time, whatever it computes."""

    def __init__(self, engine):
        super().__init__(dataclasses.replace(engine.capabilities, slots=1))
        self._engine = engine

    def answer(self, intent):
        return tasks.answer(intent, self.capabilities, self.run_turn)

    def run_turn(self, turn):
        with closing(self._engine.run_turn(turn)) as events:
            for event in events:
                if isinstance(event, Stepped):
                    time.sleep(STEP_S)
                yield event
                if isinstance(event, Started):
                    time.sleep(PREFILL_S)


@pytest.fixture(scope="module")
def slow_site(serve_api, nano):
    with serve_api(Slowed(nano), max_waiting=2) as site:
        yield site


def steps(site):
    return site.service.metrics.value("kimi_decode_steps_total")


def active(site):
    return site.service.metrics.value("kimi_active_streams")


def waiting(site):
    return site.service.metrics.value("kimi_queue_depth")


def eventually(condition, patience_s=10.0):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


@contextlib.contextmanager
def connected(site, path, body):
    """A request that is under way; leaving the block drops the connection, unread."""
    payload = httpx.Request("POST", site.url + path, json=body)
    host, _, port = site.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {payload.headers['content-length']}\r\n\r\n"
        connection.sendall(head.encode() + payload.read())
        yield connection


def leave(site, path, body, when):
    """Goes away once `when` is true; returns the steps that were made after that."""
    with connected(site, path, body):
        eventually(when)
        before = steps(site)
    eventually(lambda: active(site) == waiting(site) == 0)
    return steps(site) - before


VARIANTS = [
    pytest.param(*SPEECH, id="speech"),
    pytest.param(SPEECH[0], {**SPEECH[1], "stream_format": "sse"}, id="speech-events"),
    pytest.param(*CHAT, id="chat"),
    pytest.param(CHAT[0], {**CHAT[1], "stream": True}, id="chat-stream"),
    pytest.param(CHAT[0], {**CHAT[1], **SPOKEN, "stream": True}, id="spoken-chat-stream"),
]


@pytest.mark.parametrize(("path", "body"), VARIANTS)
def test_leaving_during_prefill(slow_site, path, body):
    begun = steps(slow_site)
    assert leave(slow_site, path, body, lambda: active(slow_site) == 1) <= 2
    assert steps(slow_site) - begun <= 2


@pytest.mark.parametrize(("path", "body"), VARIANTS)
def test_leaving_in_the_middle(slow_site, path, body):
    begun = steps(slow_site)
    assert leave(slow_site, path, body, lambda: steps(slow_site) >= begun + 4) <= 2


def test_leaving_while_sound_arrives(slow_site):
    path, body = SPEECH
    before = steps(slow_site)
    with connected(slow_site, path, {**body, "response_format": "pcm"}) as connection:
        assert connection.recv(1024)
        eventually(lambda: steps(slow_site) > before + 20)
        before = steps(slow_site)
    eventually(lambda: active(slow_site) == 0)
    assert steps(slow_site) - before <= 2


def test_leaving_the_line_makes_room(slow_site):
    path, body = SPEECH
    begun = steps(slow_site)
    with connected(slow_site, path, body):
        eventually(lambda: active(slow_site) == 1)
        with connected(slow_site, path, body):
            eventually(lambda: waiting(slow_site) == 1)
        eventually(lambda: waiting(slow_site) == 0)
        assert active(slow_site) == 1
    eventually(lambda: active(slow_site) == 0)
    cancelled = slow_site.service.metrics.value(
        "kimi_requests_total", task="speech", outcome="cancelled"
    )
    assert cancelled >= 2
    assert steps(slow_site) - begun < 30


def test_a_full_line_answers_503_and_says_when_to_come_back(slow_site):
    path, body = SPEECH

    def ask(_):
        with contextlib.suppress(httpx.ReadTimeout):
            return httpx.post(slow_site.url + path, json=body, timeout=1.5)

    with ThreadPoolExecutor(8) as pool:
        replies = [reply for reply in pool.map(ask, range(8)) if reply is not None]
    assert len(replies) == 8 - 3  # one is served, two wait until they lose patience
    for reply in replies:
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1
        assert reply.headers["x-should-retry"] == "true"
    eventually(lambda: active(slow_site) == waiting(slow_site) == 0)


def test_after_all_that_the_server_serves(nano_site):
    reply = nano_site.client().audio.speech.create(
        model="nano", voice="alloy", input="the cat", response_format="pcm"
    )
    assert len(reply.read()) > 10_000
