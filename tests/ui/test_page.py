"""The page in a real browser, with an engine that plays tones and writes fixed words."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.voice import silence, voice

HEARD = "the cat sleeps under the green tree"
RATE = 24_000


def test_a_sentence_is_heard_while_it_is_generated(visitor: Any):
    visitor.tap_loudspeaker()
    visitor.speak("Hello, this is a test.")
    stats = visitor.wait_state("ended")
    assert visitor.loudest() > 0.2
    assert stats["receivedAtFirstSound"] < 2 * RATE, "it waited for the whole: nothing was streamed"
    assert stats["received"] == stats["played"] == 2 * RATE
    assert (stats["gaps"], stats["underruns"], stats["output"]) == (0, 0, "worklet")
    assert stats["firstSoundMs"] > 0
    expect(visitor.page.locator(".live-caption")).to_have_text("spoken words")
    expect(visitor.page.locator("#speech-report")).to_contain_text(re.compile(r"\d\.\d\d s"))
    expect(visitor.page.locator("#speech-start")).to_be_enabled()
    expect(visitor.page.locator("#speech-stop")).to_be_disabled()


def test_the_recording_downloads_as_24_khz_wav(visitor: Any):
    visitor.type("Good morning!")
    visitor.page.locator("#speech-text textarea").press("Enter")
    visitor.wait_state("ended")
    with visitor.page.expect_download() as download:
        visitor.page.locator("#speech-recording").get_by_label("Download").first.click()
    assert download.value.suggested_filename == "good-morning.wav"
    samples, rate = soundfile.read(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert (rate, samples.shape) == (RATE, (2 * RATE,))


def test_shift_enter_starts_a_new_line(visitor: Any):
    box = visitor.page.locator("#speech-text textarea")
    box.fill("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    expect(box).to_have_value("one\ntwo")
    assert visitor.stats()["state"] == "idle"


def test_stop_silences_the_page_and_the_engine(visitor: Any, site: Any, eventually: Callable):
    visitor.tap_loudspeaker()
    visitor.speak("A long story.")
    visitor.wait_played(RATE // 4)
    assert visitor.loudest() > 0.2
    expect(visitor.page.locator("#speech-start")).to_be_disabled()
    visitor.page.locator("#speech-stop").click()
    clicked = time.monotonic()
    visitor.page.wait_for_function("window.kimiPlayers.speech.stats.stopMs !== null")
    visitor.page.wait_for_timeout(max(0.0, 300 - 1000 * (time.monotonic() - clicked)))
    stopped = visitor.stats()
    assert visitor.loudness() == 0
    assert stopped["stopMs"] < 300
    visitor.page.wait_for_timeout(500)
    later = visitor.stats()
    assert later["state"] == "stopped"
    assert later["played"] == stopped["played"] < later["received"] < 60 * RATE
    assert eventually(lambda: site.engine.endings[-1:] == ["cancelled"])
    expect(visitor.page.locator("#speech-start")).to_be_enabled()
    expect(visitor.page.locator("#speech-report")).to_contain_text("spoken so far")
    with visitor.page.expect_download() as download:
        visitor.page.locator("#speech-recording").get_by_label("Download").first.click()
    assert download.value.suggested_filename == "a-long-story.wav"
    kept = soundfile.info(str(download.value.path())).frames
    assert stopped["played"] <= kept < 60 * RATE
    visitor.speak("Speak again.")
    assert visitor.wait_state("ended")["played"] == 2 * RATE


def test_a_long_text_is_read_sentence_by_sentence(visitor: Any, site: Any):
    visitor.page.get_by_label("English").first.check()
    visitor.speak("The first one. The second one.\nA new paragraph.")
    report = visitor.page.locator("#speech-report")
    expect(report).to_contain_text("Sentence 2 of 3")
    assert report.evaluate("e => !!(e.closest('[aria-live]') || e.querySelector('[aria-live]'))")
    stats = visitor.wait_state("ended")
    assert stats["received"] == stats["played"] == round((3 * 2 + 0.25 + 0.5) * RATE)
    expect(visitor.page.locator(".live-caption")).to_have_text(" ".join(["spoken words"] * 3))
    expect(report).to_contain_text("6.75 s")
    assert len(site.engine.turns[-3:]) == 3


def test_a_visitor_who_leaves_frees_the_engine(visit: Callable, site: Any, eventually: Callable):
    leaving = visit(site.url)
    before = len(site.engine.endings)
    leaving.speak("A long story.")
    leaving.wait_played(1)
    leaving.page.close()
    assert eventually(lambda: site.engine.endings[before:] == ["cancelled"], timeout_s=10)


def test_a_burst_loses_nothing(visitor: Any):
    """Many values at once may be merged by the browser; the repeated chunks make up for it."""
    visitor.speak("A burst of sound.")
    stats = visitor.wait_state("ended")
    assert (stats["received"], stats["played"], stats["gaps"]) == (6 * RATE, 6 * RATE, 0)


def test_pause_volume_and_playing_again(visitor: Any):
    visitor.tap_loudspeaker()
    visitor.speak("A long story.")
    visitor.wait_played(RATE // 4)
    visitor.page.get_by_role("button", name="Pause").click()
    visitor.page.wait_for_timeout(200)
    paused = visitor.stats()["played"]
    assert visitor.loudness() == 0
    visitor.page.wait_for_timeout(300)
    assert visitor.stats()["played"] == paused
    visitor.page.get_by_role("group", name="Live player").get_by_role("button").click()
    visitor.wait_played(paused + RATE // 4)
    visitor.page.get_by_label("Volume").first.fill("10")
    visitor.page.wait_for_timeout(300)
    assert 0 < visitor.loudness() < 0.1
    visitor.page.locator("#speech-stop").click()
    received = visitor.stats()["received"]
    visitor.page.get_by_role("button", name="Play again").click()
    visitor.wait_played(RATE // 2)
    assert visitor.stats()["played"] < received


def test_a_page_without_secure_context_still_speaks(visit: Callable, site: Any):
    """Plain http on a network address has neither AudioWorklet nor a microphone."""
    visitor = visit(f"http://insecure.test:{site.port}/")
    assert visitor.page.evaluate("window.isSecureContext") is False
    visitor.speak("Hello there.")
    stats = visitor.wait_state("ended")
    assert stats["output"] == "scheduled"
    assert stats["received"] == stats["played"] == 2 * RATE
    assert (stats["gaps"], stats["underruns"]) == (0, 0)
    visitor.open_tab("transcribe")
    expect(visitor.page.locator("#transcribe-audio-microphone")).to_be_visible()


def test_reset_seed_and_sampling_reach_the_engine(visitor: Any, site: Any):
    page = visitor.page
    page.get_by_role("button", name="Voice settings").click()
    seed = page.locator("#speech-seed input")
    seed.fill("41")
    page.get_by_label("Temperature").first.fill("0.3")
    visitor.speak("With my settings.")
    visitor.wait_state("ended")
    request = site.engine.turns[-1]
    assert (request.seed, request.sampling.audio.temperature) == (41, 0.3)
    page.locator("#speech-reset").click()
    expect(seed).to_have_value("0")
    page.get_by_label("New seed every time").check()
    visitor.speak("Surprise me.")
    visitor.wait_state("ended")
    drawn = site.engine.turns[-1]
    expect(seed).to_have_value(str(drawn.seed))
    assert drawn.seed != 0
    assert drawn.sampling == site.engine.capabilities.tasks.speech_sampling


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("   ", "There is nothing to say yet"),
        ("far too long " * 400, "shorten it"),
        ("?!", "Nothing in this text can be spoken"),
        ("engine failure", "ran out of memory"),
        ("crash", "Please try again"),
    ],
)
def test_what_cannot_be_spoken_is_explained(visitor: Any, text: str, message: str):
    visitor.speak(text)
    expect(visitor.toast().filter(has_text=message)).to_be_visible()
    assert "secret" not in visitor.page.content()
    expect(visitor.page.locator("#speech-start")).to_be_enabled()
    visitor.speak("The page lives on.")
    assert visitor.wait_state("ended")["played"] == 2 * RATE


def test_an_uploaded_file_is_transcribed(visitor: Any, site: Any, speech_wav: Path):
    visitor.open_tab("transcribe")
    visitor.upload(speech_wav)
    visitor.page.locator("#transcribe-language").get_by_label("English").check()
    visitor.page.locator("#transcribe-start").click()
    expect(visitor.transcript()).to_have_value(HEARD)
    expect(visitor.page.locator("#transcribe-report")).to_contain_text("first word")
    expect(visitor.page.locator("#transcribe-report")).to_contain_text("language English")
    expect(visitor.page.locator("table.segments tbody tr")).to_have_count(1)
    (message,) = site.engine.turns[-1].messages
    seconds = soundfile.info(str(speech_wav)).duration
    assert message.parts[1].audio.duration_s == pytest.approx(seconds, abs=0.01)
    assert message.parts[1].audio.sample_rate == 16_000
    visitor.page.locator("#transcribe-clear").click()
    expect(visitor.transcript()).to_have_value("")
    expect(visitor.page.locator("#transcribe-report .figures")).to_have_count(0)
    expect(visitor.page.locator("table.segments")).to_have_count(0)
    expect(visitor.page.locator("#transcribe-srt")).to_be_disabled()


def test_a_long_recording_becomes_segments_and_subtitles(visitor: Any, tmp_path: Path):
    talk = tmp_path / "my talk.wav"
    soundfile.write(talk, np.concatenate([voice(1), silence(1), voice(1.5), silence(1)]), 16_000)
    visitor.open_tab("transcribe")
    page = visitor.page
    expect(page.locator("#transcribe-srt")).to_be_disabled()
    visitor.upload(talk)
    page.locator("#transcribe-start").click()
    expect(page.locator("#transcribe-report")).to_contain_text("Part 2 of 2")
    expect(page.locator("table.segments tbody tr")).to_have_count(2)
    expect(visitor.transcript()).to_have_value(f"{HEARD} {HEARD}")
    for name, beginning in [
        ("srt", "1\n00:00:00,"),
        ("vtt", "WEBVTT"),
        ("txt", HEARD),
        ("json", "{"),
    ]:
        with page.expect_download() as download:
            page.locator(f"#transcribe-{name}").click()
        assert download.value.suggested_filename == f"my talk.{name}"
        assert Path(download.value.path()).read_text(encoding="utf-8").startswith(beginning)


def test_a_recording_is_transcribed_when_it_stops(visitor: Any, site: Any):
    visitor.open_tab("transcribe")
    visitor.page.get_by_role("button", name="Record", exact=True).click()
    visitor.page.wait_for_timeout(1500)
    visitor.page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(visitor.transcript()).to_have_value(HEARD)
    (message,) = site.engine.turns[-1].messages
    assert message.parts[1].audio.duration_s > 0.8


def test_sounds_that_cannot_be_heard_are_explained(visitor: Any, tmp_path: Path, speech_wav: Path):
    corrupt = tmp_path / "corrupt.wav"
    corrupt.write_bytes(b"RIFF" + bytes(40) + b"no sound at all")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, [0.0] * RATE, RATE)
    visitor.open_tab("transcribe")
    start = visitor.page.locator("#transcribe-start")
    start.click()
    expect(visitor.toast().filter(has_text="nothing to listen to")).to_be_visible()
    for path, message in [(silent, "silent"), (corrupt, "cannot be read")]:
        visitor.upload(path)
        start.click()
        expect(visitor.toast().filter(has_text=message)).to_be_visible()
        visitor.page.locator("#transcribe-clear").click()
    visitor.upload(speech_wav)
    start.click()
    expect(visitor.transcript()).to_have_value(HEARD)


def test_the_page_speaks_mandarin(visit: Callable, site: Any):
    visitor = visit(site.url, locale="zh-CN")
    page = visitor.page
    expect(page.locator("#speech-start")).to_have_text("朗读")
    expect(page.locator("#header")).to_contain_text("参数")
    expect(page.locator(".live-status")).to_have_text("语音会一边生成一边在这里播放")
    visitor.open_tab("transcribe")
    page.locator("#transcribe-start").click()
    expect(visitor.toast()).to_contain_text("还没有可以听的声音")
    expect(visitor.transcript()).to_have_attribute("aria-live", "polite")


def test_a_phone_needs_no_sideways_scrolling(visit: Callable, site: Any, speech_wav: Path):
    visitor = visit(site.url, viewport={"width": 390, "height": 844})
    width = "document.documentElement.scrollWidth"
    visitor.speak("On the phone.")
    visitor.wait_state("ended")
    assert visitor.page.evaluate(width) <= 390
    visitor.open_tab("transcribe")
    visitor.upload(speech_wav)
    visitor.page.locator("#transcribe-start").click()
    expect(visitor.page.locator("table.segments")).to_be_visible()
    assert visitor.page.evaluate(width) <= 390


def test_nothing_is_asked_of_other_servers(visitor: Any, site: Any):
    visitor.speak("All from here.")
    visitor.wait_state("ended")
    foreign = [u for u in visitor.requested if not u.startswith((site.url, "blob:", "data:"))]
    assert foreign == []


def test_two_visitors_share_nothing(visit: Callable, site: Any):
    first, second = visit(site.url), visit(site.url)
    first.speak("Only for me.")
    first.wait_state("ended")
    assert second.stats()["received"] == 0
    expect(second.page.locator("#speech-text textarea")).to_have_value("")
    expect(second.page.locator("#speech-report .figures")).to_have_count(0)
