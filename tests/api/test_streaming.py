"""How jobs become replies: order, failures, patience, and an end in any case."""

import asyncio
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from kimi_demo.api import streaming
from kimi_demo.api.service import DECODED_AT_ONCE
from kimi_demo.api.streaming import read_up_to, running, sse_lines, whole
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.job import Job
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.events import AudioDelta, Finished, Stepped
from kimi_demo.wire import sse
from kimi_demo.wire.speech import SpeechText


class Source:
    """A job's events, which tell whether they were closed."""

    def __init__(self, count, failure=None, pause_s=0.0):
        self.count, self.failure, self.pause_s = count, failure, pause_s
        self.given, self.closed = 0, threading.Event()

    def __call__(self):
        return Job(self._events()).begin()

    def _events(self):
        try:
            for number in range(self.count):
                time.sleep(self.pause_s)
                self.given += 1
                yield Stepped(number, 0)
            if self.failure:
                raise self.failure
        finally:
            self.closed.set()


def numbers(events):
    return [event.text_tokens for event in events]


def test_all_comes_in_order():
    source = Source(100)
    assert numbers(asyncio.run(whole(running(source())))) == list(range(100))
    assert source.closed.is_set()


def test_a_failure_comes_after_what_came_before_it():
    seen = []

    async def read():
        async for event in running(Source(3, EngineError("broken"))()):
            seen.append(event)

    with pytest.raises(EngineError, match="broken"):
        asyncio.run(read())
    assert numbers(seen) == [0, 1, 2]


def test_a_reader_that_leaves_cancels_the_job():
    source = Source(10_000, pause_s=0.01)

    async def read_a_little():
        stream = running(source())
        async for event in stream:
            if event.text_tokens == 3:
                break
        await stream.aclose()

    asyncio.run(read_a_little())
    assert source.closed.wait(2)
    assert source.given < 20


def test_a_failure_before_what_is_waited_for_is_raised_at_once():
    source = Source(3, EngineError("broken"))
    with pytest.raises(EngineError, match="broken"):
        asyncio.run(read_up_to(running(source()), lambda event: event.text_tokens == 7))
    assert source.closed.wait(2)


def test_what_is_read_ahead_is_not_lost():
    async def read():
        stream = await read_up_to(running(Source(6)()), lambda event: event.text_tokens == 2)
        return [event async for event in stream]

    assert numbers(asyncio.run(read())) == list(range(6))


def test_a_stream_that_says_nothing_for_long_says_that_it_lives(monkeypatch):
    monkeypatch.setattr(streaming, "KEEP_ALIVE_S", 0.05)

    def render(event):
        said = event.text_tokens == 9
        return [SpeechText(type="speech.text.delta", delta="x")] if said else []

    async def read():
        events = running(Source(10, pause_s=0.02)())
        return [line async for line in sse_lines(events, render)]

    *waiting, said, done = asyncio.run(read())
    assert 2 <= len(waiting) <= 9
    assert set(waiting) == {sse.KEEP_ALIVE}
    assert said == b'data: {"type":"speech.text.delta","delta":"x"}\n\n'
    assert done == sse.DONE


def test_a_failure_is_the_last_line_and_nothing_claims_that_all_is_done():
    async def read():
        events = running(Source(1, EngineError("broken"))())
        return [line async for line in sse_lines(events, lambda _: [])]

    (line,) = asyncio.run(read())
    assert b'"message":"broken"' in line


def loud_engine(seconds):
    second = AudioDelta(np.full(24_000, 0.5, np.float32), 24_000)
    ending = Finished("stop", 1, 0, 1)
    capabilities = Capabilities("scripted", "", "cpu", 1, 24_000)
    return ScriptedEngine([*[second] * seconds, ending], capabilities)


def test_who_reads_nothing_holds_no_slot_and_is_not_waited_for_forever(serve_api, monkeypatch):
    monkeypatch.setattr(streaming, "SEND_PATIENCE_S", 0.5)
    body = b'{"model":"tts-1","input":"hello","response_format":"pcm"}'
    head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    head += "content-type: application/json\r\n\r\n"
    engine = loud_engine(600)  # 29 MB, more than sockets take by themselves
    with serve_api(engine) as site, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = site.url.removeprefix("http://").partition(":")
        reader.connect((host, int(port)))
        reader.sendall(head.encode() + body)
        value = site.service.metrics.value
        end = time.monotonic() + 10
        while not engine.endings and time.monotonic() < end:
            time.sleep(0.01)
        assert engine.endings == ["finished"]
        assert value("kimi_active_streams") == 0
        time.sleep(1.0)
        reader.settimeout(5)
        received = 0
        try:
            while piece := reader.recv(2**20):
                received += len(piece)
        except ConnectionResetError:
            pass
        assert received < 600 * 48_000  # the server has hung up


def test_those_who_leave_do_not_lift_the_limit_of_sounds_in_work(serve_api):
    running, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.2)
        with lock:
            running -= 1

    async def impatient(service):
        tasks = [asyncio.ensure_future(service.decoded(work)) for _ in range(6)]
        await asyncio.sleep(0.05)
        for task in tasks[:4]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with serve_api(loud_engine(1)) as site:
        asyncio.run(impatient(site.service))
    assert (most, running) == (2, 0)


def test_a_bug_in_mid_stream_is_in_the_log_with_its_request(caplog):
    async def read():
        events = running(Source(1, ZeroDivisionError("secret cause"))())
        return [line async for line in sse_lines(events, lambda _: [])]

    (line,) = asyncio.run(read())
    assert b"secret" not in line
    assert "secret cause" in caplog.text


def test_what_is_typed_does_not_wait_for_sounds_in_work(serve_api):
    async def take_all_places(service):
        for _ in range(DECODED_AT_ONCE):
            await service.decoding.acquire()

    body = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
    with serve_api(loud_engine(1)) as site:
        asyncio.run(take_all_places(site.service))
        reply = httpx.post(f"{site.url}/v1/chat/completions", json=body, timeout=10)
    assert reply.status_code == 200
