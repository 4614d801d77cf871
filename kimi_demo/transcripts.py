"""Folds over the events of a transcript while it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kimi_demo.errors import EngineError
from kimi_demo.events import (
    Event,
    Finished,
    Segment,
    SegmentStarted,
    StartedOver,
    TextDelta,
    Transcript,
)
from kimi_demo.text.languages import flowing, joint, spoken_language


class TranscriptDraft:
    """The transcript as far as it has come; a fold over the events."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []

    def take(self, event: Event) -> None:
        """One event more; those that bring or take no words change nothing."""
        match event:
            case SegmentStarted():
                self._segments.append(Segment(event.start_s, event.end_s, ""))
            case TextDelta():
                last = self._segments[-1]
                self._segments[-1] = replace(last, text=last.text + event.text)
            case StartedOver():
                self._segments[-1] = replace(self._segments[-1], text="")

    def transcript(self, hint: str = "") -> Transcript:
        """What has been written so far; pieces without a word are left out. hint: the language that
        was chosen beforehand, if any."""
        trimmed = (replace(segment, text=segment.text.strip()) for segment in self._segments)
        segments = tuple(segment for segment in trimmed if segment.text)
        return Transcript(segments, spoken_language(flowing(s.text for s in segments), hint))


class FlowingWords:
    """The words of a transcript as they come: what it returns makes, one after the other, exactly
    `Transcript.text`. For streams that never start over.
    """

    def __init__(self) -> None:
        self._text = ""
        self._spaces = ""  # held back: at the end of a segment they are left out
        self._segment_begins = True

    def take(self, event: Event) -> str:
        """What one event more adds to the text; often nothing."""
        match event:
            case SegmentStarted():
                self._segment_begins, self._spaces = True, ""
                return ""
            case TextDelta():
                return self._with(event.text)
            case _:
                return ""

    def _with(self, text: str) -> str:
        words = (self._spaces + text).rstrip()
        if not words.strip():
            self._spaces += text
            return ""
        self._spaces = (self._spaces + text)[len(words) :]
        if self._segment_begins:
            words = words.lstrip()
            words = joint(self._text, words) + words if self._text else words
        self._segment_begins = False
        self._text += words
        return words


def transcript_of(events: Iterable[Event]) -> tuple[Transcript, Finished]:
    """The whole transcript. Raises: EngineError if the stream ends without it."""
    transcript, finished = None, None
    for event in events:
        match event:
            case Transcript():
                transcript = event
            case Finished():
                finished = event
    if transcript is None or finished is None:
        raise EngineError("the transcript broke off; send the request again")
    return transcript, finished
