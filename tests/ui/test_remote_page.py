"""The same page over a server in another process: nothing is computed where the page is served."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jiwer
import pytest
from gradio_client import Client
from playwright.sync_api import Page, expect

from kimi_demo.engine.remote import RemoteEngine
from kimi_demo.options import RemoteOptions
from kimi_demo.ui.examples import EXAMPLES, worded

ROOT = Path(__file__).parents[2]
CLIPS = EXAMPLES / "audio"
RATE = 24_000
TALK = ("What is the capital of France?", "And in Italy?")
START_S = 120.0  # that a busy machine may take to load nano


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` with nano; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as written:
        app = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), "--device", "cpu"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        assert is_ready(url, app), log.read_text()
        yield url
    finally:
        app.kill()
        app.wait()


def is_ready(url: str, app: subprocess.Popen[bytes]) -> bool:
    """Whether it serves before it gives up."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and app.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/ready").json()["status"] == "ready":
                return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any], server: str) -> Iterator[Any]:
    with serve(RemoteEngine.connected(RemoteOptions(f"{server}/v1"))) as running:
        yield running


def test_it_says_where_it_computes(visitor: Any, server: str):
    header = visitor.page.locator("#header")
    expect(header).to_contain_text("nano")
    expect(header).to_contain_text(f"Computed by the server at {server.removeprefix('http://')}")


def test_its_speech_sounds_while_it_is_made_elsewhere(visitor: Any):
    visitor.tap_loudspeaker()
    visitor.speak("The cat sleeps under the big green tree.")
    stats = visitor.wait_state("ended")
    assert visitor.loudest() > 0.01
    assert stats["gaps"] == 0
    assert RATE < stats["received"] == stats["played"] < 8 * RATE
    assert stats["receivedAtFirstSound"] < stats["received"], "it waited for the whole"


def test_stop_frees_the_server_for_the_next_question(visitor: Any, server: str):
    visitor.speak(
        "The cat sleeps under the big green tree and " * 3 + "the dog sleeps."
    )  # one request
    visitor.wait_played(1)
    visitor.page.locator("#speech-stop").click()
    expect(visitor.page.locator("#speech-start")).to_be_enabled()
    end = time.monotonic() + 5.0
    while cancelled(server) < 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert cancelled(server) == 1
    assert counted(server, "kimi_active_streams") == 0


def cancelled(server: str) -> float:
    return counted(server, 'kimi_requests_total{outcome="cancelled",task="speech"}')


def counted(server: str, series: str) -> float:
    """A figure of the server in the other process; 0 before the first."""
    lines = httpx.get(f"{server}/metrics").text.splitlines()
    return float(next((line.split()[-1] for line in lines if line.startswith(f"{series} ")), 0))


def test_a_conversation_remembers_by_ids(visitor: Any):
    page: Page = visitor.page
    page.locator("#tab-conversation-button").click()
    page.wait_for_function("window.kimiPlayers?.conversation")
    heard = None
    for number, question in enumerate(TALK, 1):
        page.locator("#conversation-text textarea").fill(question)
        page.locator("#conversation-send").click()
        stats = reply(page, heard)
        heard = stats["runId"]
        assert RATE // 4 < stats["received"] == stats["played"]
        said = page.locator("#conversation-chat .message.bot")
        expect(said.filter(has_text=re.compile(r"\w{2}"))).to_have_count(number)


def test_the_endpoint_carries_the_ids(client: Client):
    history: list[dict[str, Any]] = []
    for question in TALK:
        _, facts = client.predict(question, history=history, api_name="/chat")
        assert facts["text"].strip()
        history = facts["history"]
    assert all(turn["audio_id"] and not turn["codes"] for turn in history)


def reply(page: Page, before: str | None) -> dict[str, Any]:
    """The player's figures once the next answer was heard."""
    page.wait_for_function(
        """before => {
            const stats = window.kimiPlayers.conversation.stats;
            return stats.state === "ended" && stats.runId !== before;
        }""",
        arg=before,
    )
    return page.evaluate("window.kimiPlayers.conversation.stats")


def test_it_writes_down_describes_and_decides(visitor: Any):
    visitor.open_tab("transcribe")
    visitor.upload(CLIPS / "question-opposite-en.wav")
    visitor.start("transcribe")
    visitor.expect_figures("transcribe")
    heard = re.sub(r"[^a-z ]", "", visitor.transcript().input_value().lower())
    said = re.sub(r"[^a-z ]", "", worded(str(CLIPS / "question-opposite-en.wav")).lower())
    assert jiwer.wer(said, heard) <= 0.5, heard

    visitor.open_tab("caption")
    visitor.upload(CLIPS / "sound-rain.wav", "caption")
    visitor.start("caption")
    visitor.expect_figures("caption")
    assert visitor.answer("caption").input_value().strip()

    visitor.open_tab("understand")
    visitor.upload(CLIPS / "sound-dog.wav", "understand")
    visitor.page.locator("#understand-task input[value=sound]").check()
    expect(visitor.page.locator("#understand-options textarea")).to_have_value(re.compile("dog"))
    visitor.start("understand")
    visitor.expect_figures("understand")
    top = visitor.page.locator("#understand-chart .confidence-set .text").first.inner_text()
    assert visitor.answer("understand").input_value() == top.strip() != ""
