"""Page and API in one process, from one launch."""

import time
from contextlib import contextmanager

import httpx
import numpy as np
import openai
import pytest
from gradio_client import Client

import app
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import AudioDelta, Finished, Started, Timings
from kimi_demo.options import RemoteOptions
from kimi_demo.settings import Settings
from kimi_demo.ui import build_ui, launch_options

KEY = "a-long-secret"
PAUSE_S = 0.2
TONE = AudioDelta(np.full(4_800, 0.5, np.float32), 24_000)
SCRIPT = [Started(3), TONE, TONE, TONE, Finished("stop", 3, 0, 6, Timings(0.1, 0.1, 0.2, 0.6))]


@contextmanager
def launched(monkeypatch, **chosen):
    """What `app.main` starts, over a scripted engine."""
    engine = ScriptedEngine(SCRIPT, Capabilities("scripted", "", "cpu", 1, 24_000), PAUSE_S)
    monkeypatch.setattr(app, "open_engine", lambda *_: engine)
    settings = Settings(**chosen)
    service = app.serve(settings)
    page = build_ui(service.engine).queue()
    options = launch_options(service.engine.capabilities, settings) | app.with_api(
        service, settings
    )
    _, url, _ = page.launch(**options, prevent_thread_lock=True, quiet=True)
    try:
        yield url.rstrip("/"), service
    finally:
        page.close(verbose=False)
        service.close()


@pytest.fixture(scope="module")
def whole():
    with pytest.MonkeyPatch.context() as patch, launched(patch) as running:
        yield running


def test_one_address_has_the_page_and_the_api(whole):
    url, _ = whole
    assert "<gradio-app>" in httpx.get(url).text or "gradio" in httpx.get(url).text
    assert httpx.get(url + "/health").json()["model"] == "scripted"
    assert httpx.get(url + "/ready").status_code == 200
    assert "kimi_queue_depth" in httpx.get(url + "/metrics").text
    assert openai.OpenAI(base_url=url + "/v1", api_key="x").models.list().data[0].id == "scripted"
    assert httpx.get(url + "/v1/docs").status_code == 200
    assert httpx.get(url + "/v1/nothing").json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("encoding", ["identity", "gzip, deflate, br"])
def test_sound_passes_the_pages_server_piece_by_piece(whole, encoding):
    url, _ = whole
    body = {"model": "tts-1", "voice": "alloy", "input": "hello", "response_format": "pcm"}
    headers, times, size = {"accept-encoding": encoding}, [], 0
    with httpx.stream("POST", url + "/v1/audio/speech", json=body, headers=headers) as reply:
        for piece in reply.iter_bytes():
            times.append(time.monotonic())
            size += len(piece)
    assert size == 3 * 2 * 4_800
    assert times[-1] - times[0] > 1.5 * PAUSE_S


def test_page_and_api_share_one_line_and_one_account(whole):
    url, service = whole
    before = service.metrics.value("kimi_audio_seconds_total", direction="out")
    page = Client(url, verbose=False, analytics_enabled=False)
    page.predict(text="hello", api_name="/speak")
    made = service.metrics.value("kimi_audio_seconds_total", direction="out") - before
    assert made == pytest.approx(0.6)
    page.close()


def test_keys_are_for_the_api_and_if_wished_for_the_page(monkeypatch):
    with launched(monkeypatch, api_keys=f"bob={KEY}") as (url, _):
        assert httpx.get(url + "/v1/models").status_code == 401
        assert httpx.get(url + "/config").status_code == 200
    with launched(monkeypatch, api_keys=f"bob={KEY}", page_needs_key=True) as (url, _):
        assert httpx.get(url + "/config").status_code == 401
        with httpx.Client(base_url=url) as visitor:
            wrong = visitor.post("/login", data={"username": "bob", "password": "wrong"})
            assert wrong.status_code == 400
            visitor.post("/login", data={"username": "bob", "password": KEY})
            assert visitor.get("/config").status_code == 200
        bearer = {"authorization": f"Bearer {KEY}"}
        assert httpx.get(url + "/v1/models", headers=bearer).status_code == 200


def test_a_server_instead_of_a_model_is_chosen_by_arguments_or_environment():
    told = ["--api-base", "http://host:1/v1/", "--api-key", "k", "--api-voice", "nova"]
    chosen = Settings.from_command_line(told, {"KIMI_API_KEY": "other"})
    assert chosen.remote == RemoteOptions("http://host:1/v1", "k", voice="nova")
    environ = {"KIMI_API_BASE": "https://host/v1", "KIMI_API_KEY": "k", "KIMI_API_MODEL": "m"}
    assert Settings.from_command_line([], environ).remote == RemoteOptions(
        "https://host/v1", "k", model="m"
    )
    assert Settings.from_command_line([], {}).remote is None
    assert "secret" not in repr(Settings(api_keys="secret")) + repr(RemoteOptions("x", "secret"))


def test_what_is_no_address_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        Settings.from_command_line(["--api-base", "host:1"], {})
    assert ended.value.code == 2
    assert "http://HOST:PORT/v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "arguments", "said"), [("bob=short", [], "bob"), ("", ["--page-needs-key"], "no key")]
)
def test_unusable_keys_end_the_start_in_one_line(monkeypatch, capsys, keys, arguments, said):
    monkeypatch.setenv("KIMI_API_KEYS", keys)
    assert app.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "short" not in line
