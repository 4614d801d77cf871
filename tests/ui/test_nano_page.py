"""The same page with the embedded checkpoint: real speech, heard again by the same model."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from playwright.sync_api import expect

from kimi_demo.engine.factory import create_engine

SENTENCE = "The cat sleeps under the big green tree."


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Iterator[Any]:
    with serve(create_engine("nano", "cpu")) as running:
        yield running


def test_nano_speaks_and_transcribes_what_it_said(visitor: Any, tmp_path: Path):
    expect(visitor.page.locator("#header")).to_contain_text("nano")
    visitor.tap_loudspeaker()
    visitor.speak(SENTENCE)
    stats = visitor.wait_state("ended")
    assert visitor.loudest() > 0.01
    assert stats["gaps"] == 0  # underruns hang on the machine's load: `evaluate` measures the pace
    assert stats["received"] == stats["played"]
    assert 24_000 < stats["received"] < 8 * 24_000

    with visitor.page.expect_download() as download:
        visitor.page.locator("#speech-recording").get_by_label("Download").first.click()
    wav = tmp_path / download.value.suggested_filename
    download.value.save_as(wav)
    samples, rate = soundfile.read(io.BytesIO(wav.read_bytes()))
    assert (rate, len(samples)) == (24_000, stats["received"])

    visitor.transcribe_tab()
    visitor.upload(wav)
    visitor.page.locator("#transcribe-start").click()
    expect(visitor.page.locator("#transcribe-report .figures")).to_be_visible()
    heard = set(visitor.transcript().input_value().split())
    assert heard & set(SENTENCE.lower().strip(".").split()), "no word of the sentence was heard"


def test_stop_silences_nano(visitor: Any):
    visitor.tap_loudspeaker()
    visitor.speak(SENTENCE * 4)
    visitor.wait_played(6_000)
    visitor.page.locator("#speech-stop").click()
    visitor.page.wait_for_function("window.kimiPlayers.speech.stats.stopMs !== null")
    assert visitor.stats()["stopMs"] < 300
    visitor.page.wait_for_timeout(300)
    assert visitor.loudness() == 0
    expect(visitor.page.locator("#speech-start")).to_be_enabled()


def test_nano_hears_the_microphone(visitor: Any):
    visitor.transcribe_tab()
    visitor.page.get_by_role("button", name="Record", exact=True).click()
    visitor.page.wait_for_timeout(2500)
    visitor.page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(visitor.transcript()).not_to_have_value("")
