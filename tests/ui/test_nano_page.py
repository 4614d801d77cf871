"""The same page with the embedded checkpoint: it shows and plays what the engine itself says.

Whether that is right is no matter of the page: `python -m training evaluate` measures it.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Locator, expect

from kimi_demo import audio
from kimi_demo.engine.base import Engine
from kimi_demo.engine.factory import create_engine
from kimi_demo.events import Transcript, collect
from kimi_demo.intents import Caption, Chat, Choose, Transcribe
from kimi_demo.options import ModelOptions
from kimi_demo.ui.examples import EXAMPLES, worded
from tests.ui.conftest import BROWSER_FLAGS
from tests.ui.talking import MICROPHONE_RATE, Listener, browser_hearing, microphone_file

SENTENCE = "The cat sleeps under the big green tree."
CLIPS = EXAMPLES / "audio"
SPOKEN = CLIPS / "question-opposite-en.wav"
QUESTION = CLIPS / "question-zh.wav"  # "What is your name?"
BEFORE_S, AFTER_S = 1.0, 0.7  # silence around what is said into the microphone


@pytest.fixture(scope="module")
def nano() -> Engine:
    return create_engine(ModelOptions(device="cpu"))


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any], nano: Engine) -> Iterator[Any]:
    with serve(nano) as running:
        yield running


def written_down(nano: Engine, sound: audio.Audio) -> str:
    """What the engine itself writes down of a recording."""
    *_, transcript, _finished = nano.stream(Transcribe(sound))
    assert isinstance(transcript, Transcript)
    return transcript.text


def answer_to(nano: Engine, question: str) -> str:
    """The engine's own answer to a typed question."""
    return collect(nano.stream(Chat.about(question))).text


@pytest.fixture(scope="module")
def asker(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser into whose microphone the question is spoken, once for each recording."""
    spoken = audio.read(str(QUESTION)).resampled(MICROPHONE_RATE).waveform
    silences = [np.zeros(int(s * MICROPHONE_RATE), np.float32) for s in (BEFORE_S, 10.0)]
    path = tmp_path_factory.mktemp("microphone") / "question.wav"
    soundfile.write(path, np.concatenate([silences[0], spoken, silences[1]]), MICROPHONE_RATE)
    flags = [*BROWSER_FLAGS, f"--use-file-for-fake-audio-capture={path}%noloop"]
    running = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=flags)
    yield running
    running.close()


def word_errors(said: str, heard: str) -> float:
    """Word error rate without capitals and marks."""
    plain = [re.sub(r"[^a-z ]", "", text.lower()) for text in (said, heard)]
    return jiwer.wer(*plain)


def chat(page: Any, role: str) -> Locator:
    return page.locator(f"#conversation-chat .message.{role}")


def wait_for_reply(page: Any, old_run: str | None = None) -> dict[str, Any]:
    page.wait_for_function(
        """old => {
            const stats = window.kimiPlayers.conversation.stats;
            return stats.state === "ended" && stats.runId !== old;
        }""",
        arg=old_run,
    )
    return page.evaluate("window.kimiPlayers.conversation.stats")


def test_nano_speaks_and_transcribes_what_it_said(visitor: Any, nano: Engine, tmp_path: Path):
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

    visitor.open_tab("transcribe")
    visitor.upload(wav)
    visitor.start("transcribe")
    visitor.expect_figures("transcribe")
    heard = visitor.transcript().input_value()
    assert heard == written_down(nano, audio.read(str(wav))) != ""


def test_a_clip_is_written_down(visitor: Any, nano: Engine):
    visitor.open_tab("transcribe")
    visitor.upload(SPOKEN)
    visitor.start("transcribe")
    visitor.expect_figures("transcribe")
    heard = visitor.transcript().input_value()
    assert heard == written_down(nano, audio.read(str(SPOKEN)))
    assert word_errors(worded(str(SPOKEN)), heard) <= 0.5, heard
    expect(visitor.page.locator("#transcribe-report")).to_contain_text("language English")


def test_a_sound_is_named_and_described(visitor: Any, nano: Engine):
    tasks = nano.capabilities.tasks
    visitor.open_tab("understand")
    visitor.upload(CLIPS / "sound-dog.wav", "understand")
    visitor.page.locator("#understand-task input[value=sound]").check()
    expect(visitor.page.locator("#understand-options textarea")).to_have_value(re.compile("dog"))
    visitor.start("understand")
    visitor.expect_figures("understand")
    chosen = collect(nano.stream(Choose.about(audio.read(str(CLIPS / "sound-dog.wav")), "sound")))
    assert chosen.text in tasks.choices["sound"].options
    top = visitor.page.locator("#understand-chart .confidence-set .text").first
    expect(top).to_contain_text(chosen.text)
    assert chosen.text in visitor.answer("understand").input_value()

    visitor.open_tab("caption")
    visitor.upload(CLIPS / "sound-rain.wav", "caption")
    expect(visitor.page.locator("#caption-picture img")).to_be_visible()
    visitor.start("caption")
    visitor.expect_figures("caption")
    caption = collect(nano.stream(Caption(audio.read(str(CLIPS / "sound-rain.wav")))))
    assert visitor.answer("caption").input_value() == caption.text != ""


def test_a_question_spoken_into_the_microphone_is_answered_aloud(asker: Browser, site: Any):
    page = asker.new_context(locale="en-GB").new_page()
    page.goto(site.url + "#conversation")
    page.wait_for_function("window.kimiPlayers?.conversation")
    microphone = page.locator("#conversation-microphone")
    microphone.get_by_role("button", name="Record", exact=True).click()
    said_s = BEFORE_S + soundfile.info(QUESTION).duration + AFTER_S
    page.wait_for_timeout(1000 * said_s)
    microphone.get_by_role("button", name="Stop", exact=True).first.click()
    stats = wait_for_reply(page)
    expect(chat(page, "bot").first).to_contain_text("奇米")
    assert stats["played"] == stats["received"] > 12_000
    expect(chat(page, "user").get_by_label("Play")).to_have_count(1)
    expect(chat(page, "user")).to_contain_text(re.compile("heard: .*名字"))


def test_it_talks_hands_free(browser: Browser, site: Any, tmp_path: Path):
    spoken = audio.read(str(QUESTION)).resampled(MICROPHONE_RATE).waveform
    path = microphone_file(tmp_path / "question.wav", [(15.0, spoken)], 120.0)
    with browser_hearing(browser, path) as hearing:
        listener = Listener(hearing.new_context(locale="en-GB").new_page(), site.url)
        listener.begin()
        (turn,) = listener.wait("s.turns.length === 1", timeout_s=90)["turns"]
        assert "名字" in turn["heard"]
        assert "奇米" in turn["answer"]
        assert turn["playedMs"] == turn["receivedMs"] > 500
        assert turn["latencyMs"] > 500
        listener.toggle.click()
        expect(listener.said("bot").first).to_contain_text("奇米")
        assert listener.failures == []


def test_an_example_is_asked_typed_and_aloud(visitor: Any, nano: Engine):
    page, question = visitor.page, "What is the weather like?"
    page.locator("#tab-conversation-button").click()
    for kind, answer in (("typed", answer_to(nano, question)), ("spoken", re.compile(r"\w"))):
        examples = page.locator(f"#conversation-{kind}-examples")
        examples.get_by_role("button", name=question).click()
        wait_for_reply(page)
        expect(chat(page, "bot")).to_contain_text(answer)
        page.locator("#conversation-clear").click()
        expect(chat(page, "bot")).to_have_count(0)


def test_two_visitors_get_their_own_answers(visit: Callable[..., Any], site: Any, nano: Engine):
    first, second = visit(site.url), visit(site.url)
    asked = ((first, "What is the capital of France?"), (second, "你叫什么名字？"))
    answers = [answer_to(nano, question) for _, question in asked]
    assert answers[0] != answers[1]
    for asking, question in asked:
        asking.page.locator("#tab-conversation-button").click()
        asking.page.locator("#conversation-text textarea").fill(question)
        asking.page.locator("#conversation-send").click()
    for (asking, _), answer in zip(asked, answers, strict=True):
        wait_for_reply(asking.page)
        expect(chat(asking.page, "user")).to_have_count(1)
        expect(chat(asking.page, "bot").first).to_contain_text(answer)


def test_a_reload_in_mid_answer_frees_nano_for_the_next_question(visitor: Any):
    visitor.speak(SENTENCE * 6)
    visitor.wait_played(1)
    visitor.page.reload()
    visitor.page.wait_for_function("window.kimiPlayers?.speech")
    visitor.speak("Good morning.")
    stats = visitor.wait_state("ended")
    assert 0 < stats["received"] == stats["played"] < 4 * 24_000


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
    visitor.open_tab("transcribe")
    visitor.page.get_by_role("button", name="Record", exact=True).click()
    visitor.page.wait_for_timeout(2500)
    visitor.page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(visitor.transcript()).not_to_have_value("")
