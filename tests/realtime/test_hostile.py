"""What no client should do: it is told why, nobody else notices, and nothing of it is left."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import numpy as np
import pytest
from gradio import Blocks
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from kimi_demo.api import realtime, routes
from kimi_demo.api.service import TALKING_AT_ONCE, Service
from kimi_demo.audio import Audio
from kimi_demo.engine.late import LateEngine
from kimi_demo.realtime import smart_turn
from kimi_demo.settings import Settings
from kimi_demo.ui import launch_options
from tests.realtime.conftest import SLOW, WHOLE, Site, scripted, site_of, wait_for
from tests.realtime.talkers import PATIENCE_S, RATE, clip_of

MB = 2**20
SENT_MB = 10


class Raw:
    """A socket that sends whatever it is told to."""

    def __init__(self, url: str, **options) -> None:
        address = url.replace("http", "ws") + "/v1/realtime"
        self._open = ExitStack()
        opening = connect(address, max_size=None, open_timeout=PATIENCE_S, **options)
        self.socket = self._open.enter_context(opening)

    def send(self, type_: str, **fields) -> None:
        self.socket.send(json.dumps({"type": type_, **fields}))

    def next(self, type_: str) -> dict:
        while True:
            event = json.loads(self.socket.recv(PATIENCE_S))
            if event["type"] == type_:
                return event

    def closed(self) -> int:
        """The code, after all events."""
        try:
            while True:
                self.socket.recv(PATIENCE_S)
        except ConnectionClosed as ended:
            return ended.rcvd.code if ended.rcvd else 1006

    def append(self, waveform: np.ndarray) -> None:
        pcm = base64.b64encode(Audio(waveform, RATE).pcm16()).decode()
        self.send("input_audio_buffer.append", audio=pcm)

    def ask(self, **session) -> None:
        """For an answer to something written."""
        if session:
            self.send("session.update", session={"type": "realtime", **session})
        content = [{"type": "input_text", "text": "Well?"}]
        item = {"type": "message", "role": "user", "content": content}
        self.send("conversation.item.create", item=item)
        self.send("response.create")

    def vanish(self) -> None:
        """Without a word: as when a cable is pulled, yet the other side hears of it at once."""
        linger = struct.pack("ii", 1, 0)
        self.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close_socket()

    def close(self) -> None:
        self._open.close()


@contextmanager
def talking(url: str, **options):
    with closing(Raw(url, **options)) as raw:
        raw.next("session.created")
        yield raw


@pytest.fixture
def bystander(site):
    """Somebody else, who can talk before and after."""
    with talking(site.url) as raw:
        yield raw
        raw.ask()
        assert raw.next("response.done")["response"]["status"] == "completed"


def test_an_update_holds_but_for_turns_that_nobody_can_judge_here(site, monkeypatch):
    monkeypatch.setattr(smart_turn, "PACKAGE", "no_such_package")
    smart_turn._smart_turn.cache_clear()
    with talking(site.url) as raw:
        turns = {"type": "semantic_vad"}
        session = {"instructions": "Be kind.", "audio": {"input": {"turn_detection": turns}}}
        raw.send("session.update", session=session)
        assert "pipecat-ai" in raw.next("error")["error"]["message"]
        held = raw.next("session.updated")["session"]
        assert held["instructions"] == "Be kind."
        assert held["audio"]["input"]["turn_detection"]["type"] == "server_vad"


def append(audio):
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


FRAMES = {
    "nothing": ("", "invalid_json"),
    "no JSON": ("{", "invalid_json"),
    "no UTF-8": (b"\xff\xfe", "invalid_json"),
    "deep": ("[" * 100_000, "invalid_json"),
    "a list": ("[1]", "invalid_value"),
    "no type": ("{}", "invalid_value"),
    "unknown": ('{"type": "no.such.event"}', "unknown_event"),
    "the server's": ('{"type": "response.done"}', "unknown_event"),
    "surplus": ('{"type": "input_audio_buffer.commit", "more": 1}', "unsupported"),
    "no base64": (append("%%%%"), "invalid_base64"),
    "half a sample": (append(base64.b64encode(b"123").decode()), "invalid_audio"),
    "no sound": (append(7), "invalid_value"),
    "infinite": (
        '{"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, '
        '"audio_end_ms": 1e999}',
        "invalid_value",
    ),
    "10 MB": (append("A" * SENT_MB * MB), None),
    "10 MB in bytes": (b"{" * SENT_MB * MB, None),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_is_no_event_is_refused_and_the_next_is_read(site, bystander, name):
    frame, code = FRAMES[name]
    with talking(site.url) as raw:
        raw.socket.send(frame)
        error = raw.next("error")["error"]
        assert error["type"] == "invalid_request_error"
        assert error["code"] == code or "2 MB" in error["message"]
        raw.ask()
        assert raw.next("response.done")["response"]["status"] == "completed"


def test_no_sound_at_all_is_no_error(site, bystander):
    with talking(site.url) as raw:
        raw.socket.send(append(""))
        raw.send("input_audio_buffer.commit", event_id="mine")
        error = raw.next("error")["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")


def test_a_frame_beyond_what_the_server_reads_ends_that_conversation_alone(site, bystander):
    with talking(site.url) as raw:
        raw.socket.send("x" * (16 * MB + 1))
        assert raw.closed() == 1009


ORDER = {
    "commit of nothing": ("input_audio_buffer.commit", {}),
    "cancel of nothing": ("response.cancel", {}),
    "cancel of another's": ("response.cancel", {"response_id": "resp_1"}),
    "answer to nothing": ("response.create", {}),
    "truncate of nothing": (
        "conversation.item.truncate",
        {"item_id": "i", "content_index": 0, "audio_end_ms": 0},
    ),
    "delete of nothing": ("conversation.item.delete", {"item_id": "i"}),
    "after nothing": (
        "conversation.item.create",
        {
            "item": {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            "previous_item_id": "i",
        },
    ),
}


def test_events_in_the_wrong_order_are_refused_one_by_one(site, bystander):
    with talking(site.url) as raw:
        for name, (type_, fields) in ORDER.items():
            raw.send(type_, **fields, event_id=name)
        told = [raw.next("error")["error"] for _ in ORDER]
        assert [error["event_id"] for error in told] == [*ORDER]
        assert all(error["message"] for error in told)
        raw.ask(instructions=SLOW)
        raw.next("response.output_audio.delta")
        raw.send("response.create")
        code = raw.next("error")["error"]["code"]
        assert code == "conversation_already_has_active_response"


def test_a_hundred_at_once_are_sixteen(site):
    def visit(_):
        raw = Raw(site.url)
        event = json.loads(raw.socket.recv(PATIENCE_S))
        return raw, event["type"], raw.closed() if event["type"] == "error" else None

    with ThreadPoolExecutor(100) as pool:
        visits = list(pool.map(visit, range(100)))
    kinds = [(type_, code) for _, type_, code in visits]
    assert kinds.count(("session.created", None)) == TALKING_AT_ONCE
    assert kinds.count(("error", 1013)) == 100 - TALKING_AT_ONCE
    assert site.service.rooms.taken == TALKING_AT_ONCE
    for raw, type_, _ in visits:
        if type_ == "session.created":
            raw.ask()
            assert raw.next("response.done")["response"]["status"] == "completed"
        raw.close()
    site.check_is_empty()
    with talking(site.url):
        pass


def listening(raw):
    raw.append(clip_of("question-en"))  # no silence yet
    raw.next("input_audio_buffer.speech_started")


def thinking(raw):
    raw.ask(instructions=SLOW)
    raw.next("response.created")


def answering(raw):
    raw.ask(instructions=SLOW)
    raw.next("response.output_audio.delta")


def sounding(raw):
    raw.ask(instructions=WHOLE)
    raw.next("response.done")


def transcribing(raw):
    heard = {"turn_detection": None, "transcription": {"model": "whisper-1"}}
    raw.send("session.update", session={"type": "realtime", "audio": {"input": heard}})
    raw.append(clip_of("question-en"))
    raw.send("input_audio_buffer.commit")


STATES = (lambda raw: None, listening, thinking, answering, sounding, transcribing)


@pytest.mark.parametrize("leave", [Raw.vanish, Raw.close])
def test_who_vanishes_leaves_nothing(site, bystander, leave):
    engine = site.service.engine
    for state in STATES:
        with talking(site.url) as raw:
            state(raw)
            leave(raw)
        wait_for(lambda: site.service.rooms.taken == 1 and not engine._jobs)
    assert len(engine.endings) == len(engine.turns)
    assert engine.endings.count("cancelled") >= 1  # of those that take seconds
    requests = site.service.metrics.value
    assert requests("kimi_requests_total", task="chat", outcome="failed") == 0


def test_who_vanishes_while_the_model_is_loaded_leaves_nothing():
    with closing(scripted()) as engine:
        late = LateEngine(engine.capabilities, lambda: engine)
        with site_of(late) as site:
            raw = Raw(site.url)
            raw.ask()  # not read yet
            wait_for(lambda: site.service.rooms.taken == 1)
            raw.vanish()
            site.check_is_empty()
            waiting = Raw(site.url)
            waiting.ask()
            late.load()
            waiting.next("session.created")
            assert waiting.next("response.done")["response"]["status"] == "completed"
            waiting.close()


def test_a_client_that_stops_reading_is_gone_after_a_while(site, bystander, monkeypatch):
    monkeypatch.setattr(realtime, "SEND_PATIENCE_S", 1.0)
    with talking(site.url, max_queue=1, compression=None) as raw:
        raw.send(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"turn_detection": None}}},
        )
        for _ in range(10):
            raw.append(np.zeros(10 * RATE, np.float32))
        raw.send("input_audio_buffer.commit")
        item = raw.next("conversation.item.added")["item"]["id"]
        for _ in range(30):  # each is answered with megabytes
            raw.send("conversation.item.retrieve", item_id=item)
        wait_for(lambda: site.service.rooms.taken == 1)
        raw.vanish()


def test_the_page_is_served_with_the_same_limits(serve_page):
    with serve_page() as site:
        with talking(site.url) as raw:
            raw.socket.send(append("A" * SENT_MB * MB))
            assert "2 MB" in raw.next("error")["error"]["message"]
            answering(raw)
            raw.vanish()
        site.check_is_empty()
        with talking(site.url) as raw:
            raw.socket.send("x" * (16 * MB + 1))
            assert raw.closed() == 1009
        site.check_is_empty()
        last = Raw(site.url)
        answering(last)
    assert last.closed() in (1001, 1012)
    site.check_is_empty()


@pytest.fixture
def serve_page():
    """The API beside a page, as `app.py` has it."""

    @contextmanager
    def served():
        with closing(scripted()) as engine, Blocks() as page:
            service = Service(engine)
            engine.serve(metrics=service.metrics)
            options = launch_options(engine.capabilities, Settings())
            options |= {"app_kwargs": {"routes": routes(service)}}
            _, url, _ = page.launch(**options, prevent_thread_lock=True, quiet=True)
            try:
                yield Site(url.rstrip("/"), service)
            finally:
                page.close(verbose=False)

    return served


def test_the_embedded_models_rows_are_freed(nano):
    with site_of(nano) as site:
        for state in (listening, thinking, answering, transcribing):
            with talking(site.url) as raw:
                state(raw)
                raw.vanish()
        site.check_is_empty()
        scheduler = nano._running.scheduler
        wait_for(lambda: not scheduler._rows and not scheduler._waiting)
        scheduler.check_integrity()
        steps = site.service.metrics.value("kimi_decode_steps_total")
        time.sleep(0.3)
        assert site.service.metrics.value("kimi_decode_steps_total") == steps
