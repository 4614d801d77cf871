"""What the tests of hands-free conversation share: a browser whose microphone plays a file, and a
visitor who only listens and looks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Browser, Locator, Page, expect

from tests.ui.conftest import BROWSER_FLAGS

MICROPHONE_RATE = 48_000

# So that a test can see whether the browser still listens.
REMEMBER_MICROPHONES = """
window.microphones = [];
const devices = navigator.mediaDevices;
const open = devices?.getUserMedia.bind(devices);
if (open) devices.getUserMedia = async (wanted) => {
  const stream = await open(wanted);
  window.microphones.push(...stream.getTracks());
  return stream;
};
"""


def microphone_file(path: Path, sounds: list[tuple[float, np.ndarray]], seconds: float) -> Path:
    """A file with silence but for these: (second at which it begins, (T,) float32 at 48 kHz)."""
    samples = np.zeros(round(seconds * MICROPHONE_RATE), np.float32)
    for start_s, sound in sounds:
        start = round(start_s * MICROPHONE_RATE)
        samples[start : start + len(sound)] = sound
    soundfile.write(path, samples, MICROPHONE_RATE)
    return path


@contextmanager
def browser_hearing(browser: Browser, path: Path) -> Iterator[Browser]:
    """Another browser, into whose microphone the file is played, once, when it is opened."""
    flags = [*BROWSER_FLAGS, f"--use-file-for-fake-audio-capture={path}%noloop"]
    running = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=flags)
    yield running
    running.close()


class Listener:
    """Somebody at the conversation tab; `loudness` says what the loudspeaker plays, every 10 ms."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.failures: list[str] = []
        page.on("pageerror", lambda error: self.failures.append(str(error)))
        page.add_init_script(REMEMBER_MICROPHONES)
        page.goto(url + "#conversation")
        page.wait_for_function("window.kimiPlayers?.conversation && window.kimiTalks?.conversation")
        expect(self.toggle).to_be_visible()

    @property
    def toggle(self) -> Locator:
        return self.page.locator("#conversation-talk .talk-toggle")

    @property
    def status(self) -> Locator:
        return self.page.locator("#conversation-talk .talk-status")

    @property
    def note(self) -> Locator:
        return self.page.locator("#conversation-talk .talk-note")

    def said(self, role: str) -> Locator:
        return self.page.locator(f"#conversation-chat .message.{role}")

    def stats(self) -> dict[str, Any]:
        return self.page.evaluate("window.kimiTalks.conversation.stats")

    def wait(self, condition: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """condition: of the live conversation's figures `s` and the player's `p`."""
        self.page.wait_for_function(
            f"""() => {{
                const s = window.kimiTalks.conversation.stats;
                const p = window.kimiPlayers.conversation.stats;
                return {condition};
            }}""",
            timeout=timeout_s * 1000,
        )
        return self.stats()

    def begin(self) -> None:
        self.toggle.click()
        self.wait("s.state === 'listening'")

    def tap_loudspeaker(self) -> None:
        self.page.evaluate(
            """async () => {
                const player = window.kimiPlayers.conversation;
                await player.unlock();
                const tap = player.context.createAnalyser();
                tap.fftSize = 256;
                player.volume.connect(tap);
                const samples = new Float32Array(tap.fftSize);
                window.loudness = [];
                setInterval(() => {
                    tap.getFloatTimeDomainData(samples);
                    const peak = Math.max(...samples.map(Math.abs));
                    window.loudness.push([performance.now(), peak]);
                }, 10);
            }"""
        )

    def loudness(self) -> np.ndarray:
        """(N, 2): ms, peak of the last 11 ms."""
        return np.array(self.page.evaluate("window.loudness"))
