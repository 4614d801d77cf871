"""Transcripts as files, to the letter."""

import json

import pytest

from kimi_demo.events import Segment, Transcript
from kimi_demo.subtitles import FORMATS, clock

TRANSCRIPT = Transcript(
    (
        Segment(0.0, 1.2345, "Tom & Jerry <b>say</b>"),
        Segment(59.9996, 3723.5, "A --> B,\n\nsaid 她"),
        Segment(4000.0, 4000.0, "now"),
    ),
    "en",
)


def test_plain_text_has_a_line_for_each_segment():
    assert FORMATS["txt"](TRANSCRIPT) == "Tom & Jerry <b>say</b>\nA --> B, said 她\nnow\n"


def test_subrip():
    assert FORMATS["srt"](TRANSCRIPT) == (
        "1\n00:00:00,000 --> 00:00:01,234\nTom & Jerry <b>say</b>\n\n"
        "2\n00:01:00,000 --> 01:02:03,500\nA → B, said 她\n\n"
        "3\n01:06:40,000 --> 01:06:40,001\nnow\n"
    )


def test_webvtt():
    assert FORMATS["vtt"](TRANSCRIPT) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.234\nTom &amp; Jerry &lt;b&gt;say&lt;/b&gt;\n\n"
        "00:01:00.000 --> 01:02:03.500\nA --&gt; B, said 她\n\n"
        "01:06:40.000 --> 01:06:40.001\nnow\n"
    )


def test_json():
    written = FORMATS["json"](TRANSCRIPT)
    assert "她" in written
    facts = json.loads(written)
    assert facts["language"] == "en"
    assert facts["segments"][0] == {
        "start_s": 0.0, "end_s": 1.234, "text": "Tom & Jerry <b>say</b>",
    }  # fmt: skip
    assert facts["text"].endswith("她now")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "00:00:00.000"),
        (0.0004, "00:00:00.000"),
        (0.0006, "00:00:00.001"),
        (59.9994, "00:00:59.999"),
        (59.9996, "00:01:00.000"),
        (3599.9999, "01:00:00.000"),
        (360_000, "100:00:00.000"),
    ],
)
def test_times_are_rounded_once(seconds, shown):
    assert clock(seconds) == shown
