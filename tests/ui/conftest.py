"""A server with a scripted engine, a real browser, and a visitor who drives the page.

`serve(engine)` takes any engine, so that the same visitor can call on a real checkpoint.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from app import key_for_talking, with_api
from kimi_demo.api import Service
from kimi_demo.api.keys import Keys
from kimi_demo.audio import Audio
from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.errors import EngineError
from kimi_demo.events import AudioDelta, Event, Finished, Started, TextDelta, Timings
from kimi_demo.messages import TextPart
from kimi_demo.settings import Settings
from kimi_demo.ui import build_ui, launch_options
from kimi_demo.ui.examples import sounds
from tests.voice import voice

RATE = 24_000
# The scripted engine runs at a quarter of real time after a first piece as long as a real one's, so
# that a busy machine that delivers late is no reason for an underrun.
PAUSE_S = 0.05
DELTA_S = 0.2
FIRST_S = 1.2
PATIENCE_S = 60.0  # how long a busy machine may take for what is not timed
HEARD = "the cat sleeps under the green tree"
BROWSER_FLAGS = [
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--host-resolver-rules=MAP insecure.test 127.0.0.1",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


def tone(seconds: float, frequency_hz: float = 330.0, rate: int = RATE) -> np.ndarray:
    """(T,) float32 sine at half scale."""
    cycles = np.arange(int(seconds * rate)) * frequency_hz / rate
    return (0.5 * np.sin(2 * np.pi * cycles)).astype(np.float32)


def script(request: TurnRequest) -> list[Event]:
    """Two seconds of tone for speech; words in the text ask for something else."""
    prompt = " ".join(p.text for m in request.messages for p in m.parts if isinstance(p, TextPart))
    if "engine failure" in prompt:
        raise EngineError("the engine ran out of memory: try a shorter text")
    if "crash" in prompt:
        raise RuntimeError("secret detail of a bug")
    if request.output == "text":
        words = HEARD.split()
        deltas: list[Event] = [TextDelta(word + " " * (word != words[-1])) for word in words]
        return [Started(20), *deltas, finished(text_tokens=len(words), audio_s=0.0)]
    if "burst" in prompt:
        return [Started(20), AudioDelta(tone(6.0), RATE), finished(0, 6.0)]
    seconds = 60.0 if "long story" in prompt else 2.0
    first, rest = np.split(tone(seconds), [int(FIRST_S * RATE)])
    pieces = [first, *rest.reshape(-1, int(DELTA_S * RATE))]
    spoken: list[Event] = [Started(20), TextDelta("spoken "), TextDelta("words")]
    return [*spoken, *(AudioDelta(piece, RATE) for piece in pieces), finished(2, seconds)]


def finished(text_tokens: int, audio_s: float) -> Finished:
    timings = Timings(0.1, 0.3, total_s=audio_s / 2 + 0.1, audio_s=audio_s)
    return Finished("stop", 20, text_tokens, int(audio_s * 12.5), timings)


def scripted_engine() -> ScriptedEngine:
    label = "Plays tones instead of speech, to try the page without a model."
    capabilities = Capabilities("scripted", label, "cpu", 1_234_567, RATE, ("en", "zh"))
    return ScriptedEngine(script, capabilities, PAUSE_S)


@dataclass(frozen=True)
class Site:
    """A running page."""

    url: str
    port: int
    engine: Any


@contextmanager
def serving(engine: Engine, settings: Settings = Settings()) -> Iterator[Site]:  # noqa: B008
    """The page of this engine, and the API, on a free port of this machine."""
    service = Service(engine, keys=Keys.of(settings.api_keys))
    page = build_ui(engine, talk=key_for_talking(service))
    options = launch_options(engine.capabilities, settings) | with_api(service, settings)
    _, url, _ = page.launch(**options, prevent_thread_lock=True, quiet=True)
    try:
        yield Site(url, page.server_port, engine)
    finally:
        page.close(verbose=False)
        service.close()


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with serving(scripted_engine()) as running:
        yield running


@pytest.fixture(scope="module")
def client(site: Any) -> Iterator[Client]:
    """A program that calls the page's endpoints."""
    connected = Client(site.url, verbose=False, analytics_enabled=False)
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def speech_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is uploaded and spoken into the fake microphone: a clip of the examples, or a buzz."""
    found = sounds("speech")
    if found:
        return Path(found[0])
    path = tmp_path_factory.mktemp("sound") / "buzz.wav"
    path.write_bytes(Audio(voice(2.0, RATE), RATE).wav())
    return path


@pytest.fixture(scope="session")
def browser(speech_wav: Path) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_S * 1000)
    flags = [*BROWSER_FLAGS, f"--use-file-for-fake-audio-capture={speech_wav}"]
    with sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=flags, timeout=60_000
            )
        except Error as exc:
            if "Executable doesn't exist" not in str(exc):
                raise
            pytest.skip("no Chromium is installed: apt install chromium, or playwright install")
        yield running
        running.close()


@pytest.fixture(scope="session")
def window(browser: Browser) -> BrowserContext:
    """One window for all tests: its cache spares every page but the first the download."""
    return browser.new_context(locale="en-GB")


@dataclass
class Visitor:
    """Does what people do on the page, and reads what they would see."""

    page: Page
    heard: str | None = None  # the last run that was heard to its end
    console_errors: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def open(self, url: str) -> Visitor:
        self.page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.goto(url)
        expect(self.page.locator("#speech-text textarea")).to_be_visible()
        self.page.wait_for_function("window.kimiPlayers?.speech")
        return self

    def type(self, text: str) -> None:
        self.page.locator("#speech-text textarea").fill(text)

    def speak(self, text: str) -> None:
        self.type(text)
        self.page.locator("#speech-start").click()

    def stats(self) -> dict[str, Any]:
        return self.page.evaluate("window.kimiPlayers.speech.stats")

    def wait_state(self, state: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The player's figures in this state; "ended" is that of a run not waited for before."""
        self.page.wait_for_function(
            """([state, heard]) => {
                const stats = window.kimiPlayers.speech.stats;
                return stats.state === state && (state !== "ended" || stats.runId !== heard);
            }""",
            arg=[state, self.heard],
            timeout=timeout_s * 1000,
        )
        stats = self.stats()
        if state == "ended":
            self.heard = stats["runId"]
        return stats

    def wait_played(self, samples: int, timeout_s: float = PATIENCE_S) -> None:
        self.page.wait_for_function(
            "count => window.kimiPlayers.speech.stats.played >= count",
            arg=samples,
            timeout=timeout_s * 1000,
        )

    def tap_loudspeaker(self) -> None:
        """Listens behind the volume control: `loudness` then measures what is really heard."""
        self.page.evaluate(
            """async () => {
                const player = window.kimiPlayers.speech;
                await player.unlock();
                window.tap = player.context.createAnalyser();
                window.tap.fftSize = 1024;
                player.volume.connect(window.tap);
                const samples = new Float32Array(window.tap.fftSize);
                window.loudness = () => {
                    window.tap.getFloatTimeDomainData(samples);
                    return Math.max(...samples.map(Math.abs));
                };
                window.loudest = 0;
                setInterval(() => { window.loudest = Math.max(window.loudest, loudness()); }, 20);
            }"""
        )

    def loudness(self) -> float:
        """Peak of the last 43 ms."""
        return self.page.evaluate("window.loudness()")

    def loudest(self) -> float:
        """The greatest peak since the loudspeaker was tapped."""
        return self.page.evaluate("window.loudest")

    def open_tab(self, name: str) -> None:
        self.page.locator(f"#tab-{name}-button").click()
        expect(self.page.locator(f"#{name}-start")).to_be_visible()

    def upload(self, path: Path, tab: str = "transcribe") -> None:
        """Hands a file to the sound input of a tab and waits until it has arrived."""
        sound = self.page.locator(f"#{tab}-audio")
        sound.get_by_label("Upload file").first.click()
        with self.page.expect_response(lambda response: "/upload?" in response.url):
            sound.locator("input[type=file]").set_input_files(str(path))
        expect(sound.locator("input[type=file]")).to_have_count(0)

    def start(self, tab: str) -> None:
        self.page.locator(f"#{tab}-start").click()

    def answer(self, tab: str) -> Locator:
        """The text that a listening tab writes."""
        return self.page.locator(f"#{tab}-answer textarea")

    def expect_figures(self, tab: str) -> None:
        """Waits until the answer is complete."""
        expect(self.page.locator(f"#{tab}-report .figures")).to_be_visible()

    def transcript(self) -> Locator:
        return self.answer("transcribe")

    def toast(self) -> Locator:
        return self.page.get_by_test_id("toast-body")


@pytest.fixture
def visit(browser: Browser, window: BrowserContext) -> Iterator[Callable[..., Visitor]]:
    """Opens pages, with options in a window of their own; fails if a script of a page did."""
    visitors: list[Visitor] = []
    own_windows: list[BrowserContext] = []

    def open_page(url: str, **options: Any) -> Visitor:
        used = window
        if options:
            used = browser.new_context(**options)
            own_windows.append(used)
        page = used.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        visitors.append(Visitor(page).open(url))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.page.close()
    for own in own_windows:
        own.close()
    assert [error for visitor in visitors for error in visitor.console_errors] == []


@pytest.fixture
def visitor(visit: Callable[..., Visitor], site: Site) -> Visitor:
    return visit(site.url)


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Whether a condition comes true within a few seconds."""

    def wait(check: Callable[[], bool], timeout_s: float = 5.0) -> bool:
        end = time.monotonic() + timeout_s
        while not check() and time.monotonic() < end:
            time.sleep(0.02)
        return check()

    return wait
