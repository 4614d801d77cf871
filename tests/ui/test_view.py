"""Events become component updates: no server, no browser, no torch."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from kimi_demo.audio import to_int16
from kimi_demo.engine.base import Capabilities
from kimi_demo.errors import AudioError, EngineError
from kimi_demo.events import (
    AudioDelta,
    Finished,
    Queued,
    Segment,
    SegmentStarted,
    SentenceStarted,
    Started,
    TextDelta,
    Timings,
    Transcript,
    collect,
)
from kimi_demo.options import ModelOptions
from kimi_demo.settings import Settings
from kimi_demo.ui.failures import readable
from kimi_demo.ui.i18n import EN, ZH, dictionaries, words_for
from kimi_demo.ui.listening import AnswerView
from kimi_demo.ui.player import SLICE_S, PlayerFeed
from kimi_demo.ui.speech_view import SpeechView
from kimi_demo.ui.transcript_view import TranscriptView, segment_table, short_clock
from kimi_demo.ui.view import (
    answer_facts,
    file_name,
    header,
    short_count,
    transcript_report,
)

RATE = 24_000
END = Finished("stop", 9, 3, 25, Timings(0.1, 0.4, 1.0, 2.0))


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, int(seconds * RATE)).astype("f4")


def played(values: list[str]) -> np.ndarray:
    """What a player hears that takes every chunk once, by its number."""
    chunks = {c["seq"]: c["pcm"] for value in values for c in json.loads(value)["chunks"]}
    assert sorted(chunks) == list(range(len(chunks)))
    return np.frombuffer(b"".join(base64.b64decode(chunks[i]) for i in sorted(chunks)), "<i2")


def test_a_feed_carries_every_sample_in_short_slices():
    waveform = noise(1.1)
    feed = PlayerFeed("run", RATE)
    values = [*feed.sound(waveform[:100]), *feed.sound(waveform[100:]), feed.ended()]
    np.testing.assert_array_equal(played(values), to_int16(waveform))
    for value in values:
        for chunk in json.loads(value)["chunks"]:
            assert len(base64.b64decode(chunk["pcm"])) <= 2 * SLICE_S * RATE


def test_a_feed_survives_skipped_values():
    waveform = noise(5.0)
    feed = PlayerFeed("run", RATE)
    values = [*feed.sound(waveform), feed.ended()]
    assert len(values) == 6
    np.testing.assert_array_equal(played(values[1::2]), to_int16(waveform))


def test_only_the_last_value_of_a_feed_is_the_end():
    feed = PlayerFeed("run", RATE)
    values = [feed.started(), *feed.sound(noise(0.3))]
    assert not any(json.loads(value)["end"] for value in values)
    last = json.loads(feed.ended())
    assert (last["end"], last["run"]) == (True, "run")


def test_words_below_the_waveform_do_not_send_its_sound_again():
    view = SpeechView("run", "Hi.", 7, RATE, EN)
    events = [TextDelta("hel"), AudioDelta(noise(3.0), RATE), TextDelta("lo")]
    *_, last = [change for event in events for change in view.shown(event)]
    assert (last.caption, last.player) == ("hello", None)


def test_speech_view_ends_with_recording_and_figures():
    view = SpeechView("run", "Hi.", 7, RATE, EN)
    first, second = noise(0.5), noise(0.3)
    events = [Started(9), TextDelta("hi"), AudioDelta(first, RATE), AudioDelta(second, RATE), END]
    shown = [change for event in events for change in view.shown(event)]
    assert all(change.recording is None for change in shown[:-1])
    assert shown[-1].recording.sample_rate == RATE
    np.testing.assert_array_equal(shown[-1].recording.waveform, np.concatenate([first, second]))
    for figure in ("0.40 s", "0.50", "2.00 s", ">25<", ">7<"):
        assert figure in shown[-1].report


def test_speech_view_without_sound_offers_no_recording():
    mute = Finished("stop", 9, 0, 0, Timings(None, None, 1.0, 0.0))
    (last,) = SpeechView("run", "Hi.", 0, RATE, EN).shown(mute)
    assert last.recording is None
    assert "–" in last.report


def test_speech_view_tells_the_sentence_in_work():
    view = SpeechView("run", "One. Two.", 0, RATE, ZH)
    (shown,) = view.shown(SentenceStarted(2, 5, "Two."))
    assert "第 2 句，共 5 句" in shown.report
    assert 'max="5" value="1"' in shown.report


@pytest.mark.parametrize(
    "view",
    [
        SpeechView("run", "Hi.", 0, RATE, EN),
        TranscriptView("talk", 2.0, EN),
        AnswerView(2.0, EN),
    ],
    ids=lambda view: type(view).__name__,
)
def test_whoever_waits_is_told_how_many_are_ahead(view: Any):
    def reports(*ahead: int) -> list[str]:
        changes = [change for count in ahead for change in view.shown(Queued(count))]
        return [change.report for change in changes]

    assert reports(0) == []  # nobody was ahead: nothing to tell
    first, second = reports(2, 2, 1)
    assert "2 before you" in first
    assert "1 before you" in second
    assert reports(0) == [""]


def test_after_waiting_the_sentence_in_work_is_told_again():
    view = SpeechView("run", "One. Two.", 0, RATE, EN)
    (before,) = view.shown(SentenceStarted(2, 2, "Two."))
    list(view.shown(Queued(1)))
    (after,) = view.shown(Queued(0))
    assert after.report == before.report != ""


def test_a_stopped_speech_view_keeps_what_was_spoken():
    view = SpeechView("run", "One. Two.", 0, RATE, EN)
    assert view.stopped().recording is None
    spoken = noise(1.2)
    for _ in view.shown(AudioDelta(spoken, RATE)):
        pass
    kept = view.stopped()
    np.testing.assert_array_equal(kept.recording.waveform, spoken)
    assert "1.2 s" in kept.report


HEARD = [
    SegmentStarted(1, 2, 0.0, 1.5),
    TextDelta("good "),
    TextDelta("morning"),
    SegmentStarted(2, 2, 61.0, 62.06),
    TextDelta("<bye>"),
]


def test_transcript_grows_word_by_word():
    view = TranscriptView("talk", 2.0, EN)
    view.started()
    shown = [change for event in [*HEARD, END] for change in view.shown(event)]
    texts = [change.text for change in shown]
    assert texts == ["", "good", "good morning", "good morning", "good morning <bye>", None]
    assert "Part 2 of 2, at 1:01.0" in shown[3].report
    assert "<td>good morning</td>" in shown[3].segments
    assert "1:01.0 – 1:02.1" in view.stopped().segments
    assert "&lt;bye&gt;" in view.stopped().segments
    assert "0.50" in shown[-1].report  # 1 s of computing for 2 s of sound


@pytest.mark.parametrize(
    ("language", "named"), [("en", "English"), ("zh", "中文"), ("<x>", "&lt;")]
)
def test_the_report_of_a_transcript_tells_its_language(language: str, named: str):
    view = TranscriptView("talk", 2.0, EN)
    for event in (*HEARD, Transcript((Segment(0, 1, "one"),), language)):
        list(view.shown(event))
    (shown,) = view.shown(END)
    assert f"{EN['report_language']} <b>{named}" in shown.report
    assert EN["report_language"] not in transcript_report(END, 2.0, EN)  # where it is no transcript


def test_a_very_long_transcript_is_sent_by_segments():
    view = TranscriptView("talk", 3600.0, EN)
    first, more = TextDelta("word " * 2000), TextDelta("more")
    events = [SegmentStarted(1, 2, 0.0, 1.0), first, more, SegmentStarted(2, 2, 2.0, 3.0)]
    sent = [[change.text for change in view.shown(event)] for event in events]
    assert [len(texts) for texts in sent] == [1, 1, 0, 1]
    assert sent[-1][0].endswith("word more")


def test_files_come_with_the_whole_transcript_or_with_stop():
    view = TranscriptView("talk", 2.0, EN)
    assert view.stopped().files == {}
    for event in HEARD[:3]:
        assert all(change.files is None for change in view.shown(event))
    assert view.stopped().files["txt"] == "good morning\n"
    (shown,) = view.shown(Transcript((Segment(0, 1, "one"), Segment(1, 2, "two")), "en"))
    assert shown.files.keys() == {"txt", "srt", "vtt", "json"}
    assert shown.files["txt"] == "one\ntwo\n"


def test_a_table_without_segments_is_nothing():
    assert segment_table((), EN) == ""
    assert [short_clock(s) for s in (0, 59.96, 3600.04)] == ["0:00.0", "1:00.0", "60:00.0"]


def test_an_answer_cut_off_at_the_limit_says_so():
    cut = Finished("length", 9, 3, 25, END.timings)
    assert EN["report_length"] in transcript_report(cut, 2.0, EN)
    assert EN["report_length"] not in transcript_report(END, 2.0, EN)


def test_facts_for_programs():
    answer = collect([TextDelta("hi"), AudioDelta(noise(2.0), RATE), END])
    facts = answer_facts(answer, 5)
    assert (facts["text"], facts["rtf"], facts["ttfa_s"], facts["seed"]) == ("hi", 0.5, 0.4, 5)
    assert json.loads(json.dumps(facts)) == facts


def test_header_shows_an_escaped_honest_label():
    shown = header(Capabilities("nano", "Small & <honest>.", "cpu", 3_140_000, RATE), EN)
    assert "Small &amp; &lt;honest&gt;." in shown
    assert "3.1 M parameters" in shown
    assert "24 kHz" in shown


@pytest.mark.parametrize(
    ("number", "text"), [(12, "12"), (4_200, "4.2 k"), (9_766_336_640, "9.8 B")]
)
def test_counts_are_short(number: int, text: str):
    assert short_count(number) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hello, you!", "hello-you.wav"),
        ("你好。", "你好.wav"),
        ("../../etc/passwd", "etc-passwd.wav"),
        ("?!", "speech.wav"),
    ],
)
def test_download_names(text: str, name: str):
    assert file_name(text) == name


def test_both_languages_have_the_same_keys_and_fields():
    assert EN.keys() == ZH.keys()
    for key, text in EN.items():
        assert ("{" in text) == ("{" in ZH[key]), key
    assert all([*EN.values(), *ZH.values()])


def test_a_fixed_language_serves_every_browser():
    words = dictionaries("zh-CN", {"header": ("Hello", "你好")})
    assert words["en"] == words["zh-CN"]
    assert words["en"]["header"] == "你好"


@pytest.mark.parametrize(
    ("accepted", "stop"), [("zh-TW,zh;q=0.9", "停止"), ("en-GB,zh;q=0.5", "Stop"), ("", "Stop")]
)
def test_python_words_follow_the_browser(accepted: str, stop: str):
    class FakeRequest:
        headers = {"accept-language": accepted}  # noqa: RUF012

    assert words_for(dictionaries(), FakeRequest())["stop"] == stop


def test_errors_are_sentences_without_internals(caplog: pytest.LogCaptureFixture):
    assert readable(AudioError("the <b>sound</b> is silent"), EN).message == (
        "The &lt;b&gt;sound&lt;/b&gt; is silent."
    )
    assert "memory" in readable(EngineError("out of memory: try less"), EN).message
    unexpected = readable(RuntimeError("secret"), EN)
    assert unexpected.message == EN["toast_unexpected"]
    assert "secret" in caplog.text


def test_command_line_wins_over_environment():
    environ = {
        "KIMI_MODEL": "other",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": "9000",
        "GRADIO_SHARE": "True",
        "GRADIO_ROOT_PATH": "/kimi",
    }
    from_environ = Settings.from_command_line([], environ)
    assert from_environ == Settings(
        model=ModelOptions(model="other"), host="0.0.0.0", port=9000, share=True, root_path="/kimi"
    )
    given = Settings.from_command_line(["--port", "81", "--no-share", "--model", "nano"], environ)
    assert (given.port, given.share, given.host) == (81, False, "0.0.0.0")
    assert given.model == ModelOptions()
    assert Settings.from_command_line([], {}) == Settings()


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--port", "99999"], {}),
        ([], {"GRADIO_SERVER_PORT": "eighty"}),
        (["--ui-language", "fr"], {}),
        (["--max-queue", "0"], {}),
        (["--dtype", "float8"], {}),
        ([], {"KIMI_QUANTIZE": "int3"}),
        (["--max-memory", "a lot"], {}),
    ],
)
def test_wrong_settings_end_with_code_2(arguments: list[str], environ: dict[str, str]):
    with pytest.raises(SystemExit) as stopped:
        Settings.from_command_line(arguments, environ)
    assert stopped.value.code == 2


def test_the_page_needs_no_torch():
    code = "import sys, kimi_demo.ui; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
