"""The examples of docs/realtime.md run as they stand, but for the address, against nano."""

import http.server
import shutil
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from kimi_demo.api.service import Service
from kimi_demo.api.serving import serving
from kimi_demo.audio import OUTPUT_SAMPLE_RATE, Audio, read
from kimi_demo.engine.factory import create_engine
from kimi_demo.options import ModelOptions
from tests.documents import ROOT, examples

QUESTION = ROOT / "examples/audio/question-en.wav"
HOST = "localhost:7860"
FLAGS = [
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--no-sandbox",
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host():
    """Of a server with nano."""
    engine = create_engine(ModelOptions(device="cpu"))
    with serving(Service(engine)) as url:
        yield url.removeprefix("http://")
    engine.close()


def example(marker, host):
    (found,) = examples(marker)
    assert HOST in found.text
    return found.text.replace(HOST, host)


def test_the_program_talks(host, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-c", example("test: live", host)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert said["you"].strip()
    assert said["it"].strip()
    assert read(tmp_path / "answer.wav").duration_s > 0.5


@pytest.fixture
def page_url(host, tmp_path):
    """The example's page, served from elsewhere."""
    (tmp_path / "index.html").write_text(example("test: browser", host), encoding="utf-8")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/index.html"
        server.shutdown()


def test_the_page_talks(page_url, tmp_path):
    question = read(QUESTION).resampled(OUTPUT_SAMPLE_RATE).waveform
    spoken = tmp_path / "microphone.wav"
    silence = np.zeros(OUTPUT_SAMPLE_RATE * 30, np.float32)
    sound = np.concatenate([silence[:12_000], question, silence])
    spoken.write_bytes(Audio(sound, OUTPUT_SAMPLE_RATE).wav())
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={spoken}%noloop"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=flags, timeout=60_000
        )
        page = browser.new_page()
        page.goto(page_url)
        page.click("#talk")
        page.wait_for_function("document.querySelector('#said').textContent.trim()", timeout=60_000)
        assert page.inner_text("#said").strip()
        browser.close()
