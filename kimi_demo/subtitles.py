"""Transcripts as files: plain text, SubRip, WebVTT, JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Callable

from kimi_demo.events import Segment, Transcript


def txt(transcript: Transcript) -> str:
    return "".join(f"{_line(segment)}\n" for segment in transcript.segments)


def srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, times with a comma. Its arrow cannot be escaped, so it is drawn."""
    cues = (
        f"{number}\n{_times(segment, ',')}\n{_line(segment).replace('-->', '→')}\n"
        for number, segment in enumerate(transcript.segments, 1)
    )
    return "\n".join(cues)


def vtt(transcript: Transcript) -> str:
    """WebVTT: a header, times with a point, markup characters escaped."""
    cues = (
        f"{_times(segment, '.')}\n{html.escape(_line(segment), quote=False)}\n"
        for segment in transcript.segments
    )
    return "\n".join(["WEBVTT\n", *cues])


def facts(transcript: Transcript) -> dict[str, object]:
    """The transcript for programs; seconds to the millisecond."""
    return {
        "text": transcript.text,
        "language": transcript.language,
        "segments": [
            {"start_s": round(s.start_s, 3), "end_s": round(s.end_s, 3), "text": s.text}
            for s in transcript.segments
        ],
    }


def as_json(transcript: Transcript) -> str:
    return json.dumps(facts(transcript), ensure_ascii=False, indent=2) + "\n"


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": txt,
    "srt": srt,
    "vtt": vtt,
    "json": as_json,
}


def clock(seconds: float, point: str = ".") -> str:
    """3723.4567 -> "01:02:03.457"; rounded once, so that 59.9996 s is a full minute."""
    rest, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{milliseconds:03}"


def _times(segment: Segment, point: str) -> str:
    end_s = max(segment.end_s, segment.start_s + 0.001)  # players skip cues without duration
    return f"{clock(segment.start_s, point)} --> {clock(end_s, point)}"


def _line(segment: Segment) -> str:
    """A line break or an empty line would end the cue."""
    return " ".join(segment.text.split())
