"""`screenshots -o DIR`: every tab with a result on it, in light, in dark and on a phone.

The page is started as visitors' pages are, by app.py in a process of its own, and driven in
Chromium; Playwright is one of the development tools.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from kimi_demo.cli.common import add_engine_arguments
from kimi_demo.errors import InputError, KimiError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "examples" / "audio"
START_S = 180.0  # a checkpoint of many gigabytes takes its time
ANSWER_S = 180.0
DESK = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "device_scale_factor": 2},
}
FLAGS = [
    "--autoplay-policy=no-user-gesture-required",
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={CLIPS / 'question-en.wav'}%noloop",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--tabs", nargs="+", choices=list(VISITS), default=list(VISITS))
    parser.add_argument("--looks", nargs="+", choices=list(LOOKS), default=list(LOOKS))
    parser.add_argument("--locale", default="en-GB", help="the visitor's language")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Writes TAB-LOOK.png for every tab and look.

    Raises: InputError if there is no Chromium or the page cannot be started.
    """
    from playwright.sync_api import sync_playwright

    args.out.mkdir(parents=True, exist_ok=True)
    with _served(args.model, args.device) as url, sync_playwright() as playwright:
        browser = _browser(playwright)
        for look in args.looks:
            _take(browser, url, look, args)
        browser.close()


def _take(browser: Browser, url: str, look: str, args: argparse.Namespace) -> None:
    window = browser.new_context(locale=args.locale, **LOOKS[look])
    page = window.new_page()
    page.set_default_timeout(ANSWER_S * 1000)
    page.goto(url)
    page.wait_for_function("window.kimiPlayers?.speech")
    for tab in args.tabs:
        page.locator(f"#tab-{tab}-button").first.click()
        VISITS[tab](page)
        page.mouse.move(0, 0)
        page.wait_for_timeout(800)  # transitions and waveforms come to rest
        path = args.out / f"{tab}-{look}.png"
        page.screenshot(path=path, full_page=True)
        print(path, flush=True)
    window.close()


def _speech(page: Page) -> None:
    page.locator("#speech-text textarea").fill("The cat sleeps under the big green tree.")
    page.locator("#speech-start").click()
    page.wait_for_function("window.kimiPlayers.speech.stats.state === 'ended'")


def _conversation(page: Page) -> None:
    """A typed question, then one into the microphone, which is being answered."""
    page.locator("#conversation-text textarea").fill("What is the capital of France?")
    page.locator("#conversation-send").click()
    page.wait_for_function("window.kimiPlayers.conversation.stats.state === 'ended'")
    page.locator("#conversation-talk button").click()
    page.wait_for_function("window.kimiTalks.conversation.stats.state === 'speaking'")


def _transcribe(page: Page) -> None:
    _choose(page, "transcribe", CLIPS / "question-en.wav")
    page.locator("#transcribe-start").click()
    page.locator("#transcribe-report .figures").wait_for()


def _caption(page: Page) -> None:
    _choose(page, "caption", CLIPS / "sequence-siren-then-dog.wav")
    page.locator(".spectrogram img").wait_for()
    page.locator("#caption-start").click()
    page.locator("#caption-report .figures").wait_for()


def _understand(page: Page) -> None:
    _choose(page, "understand", CLIPS / "sound-dog.wav")
    preset = page.locator("#understand-task input[value=sound]")
    if preset.count():
        preset.check()
        page.locator("#understand-options").wait_for()
    else:
        page.locator("#understand-question textarea").fill("What can be heard?")
    page.locator("#understand-start").click()
    page.locator("#understand-report .figures").wait_for()


def _about(page: Page) -> None:
    page.locator("#about-api summary").nth(-2).click()


VISITS: dict[str, Callable[[Page], None]] = {
    "speech": _speech,
    "conversation": _conversation,
    "transcribe": _transcribe,
    "caption": _caption,
    "understand": _understand,
    "about": _about,
}


def _choose(page: Page, tab: str, file: Path) -> None:
    """Uploads a file and waits until the page shows its waveform."""
    sound = page.locator(f"#{tab}-audio")
    sound.locator(".source-selection button").first.click()
    with page.expect_response(lambda response: "/upload?" in response.url):
        sound.locator("input[type=file]").set_input_files(str(file))
    sound.locator("input[type=file]").wait_for(state="detached")


@contextmanager
def _served(model: str, device: str) -> Iterator[str]:
    """The address of the page of a model, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "--model", model, "--device", device, "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield _answering(server, f"http://127.0.0.1:{port}/")
    finally:
        server.terminate()
        server.wait()


def _answering(server: subprocess.Popen[bytes], url: str) -> str:
    """The url, once a page is served there."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise InputError(f"the page of this model did not start (exit code {server.poll()})")
        try:
            with urlopen(url):
                return url
        except (URLError, ConnectionError):
            time.sleep(0.3)
    raise KimiError(f"the page did not answer within {START_S:.0f} s")


def _browser(playwright: Any) -> Browser:
    from playwright.sync_api import Error

    try:
        return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
    except Error as exc:
        raise InputError(
            "no Chromium is installed: apt install chromium, or python -m playwright install "
            "chromium"
        ) from exc
