"""What the transcription tab shows while a recording is written down."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping

from kimi_demo.events import Event, Finished, Queued, Segment, SegmentStarted, TextDelta, Transcript
from kimi_demo.subtitles import FORMATS
from kimi_demo.transcripts import TranscriptDraft
from kimi_demo.ui.view import QueueNote, Shown, progress, transcript_report

# Every change sends the whole text anew: from here on once for each segment, not for each word.
LIVE_CHARS = 5_000


class TranscriptView:
    """Text and segments that grow, with progress; then a report and files.

    stem: the recording's file name without its end; it names the downloads.
    """

    def __init__(self, stem: str, heard_s: float, words: Mapping[str, str]) -> None:
        self.stem = stem
        self._heard_s = heard_s
        self._words = words
        self._draft = TranscriptDraft()
        self._text = ""
        self._language = ""
        self._queue = QueueNote(words)
        self._label = ""

    def started(self) -> Shown:
        waiting = progress(self._words["transcribe_seeking"], 0, 0)
        return Shown(text="", segments="", report=waiting, files={})

    def shown(self, event: Event) -> Iterator[Shown]:
        self._draft.take(event)
        match event:
            case Queued():
                for report in self._queue.changed(event, otherwise=self._label):
                    yield Shown(report=report)
            case SegmentStarted():
                self._label = self._progress(event)
                yield self._written(self._draft.transcript(), report=self._label)
            case TextDelta() if len(self._text) < LIVE_CHARS:
                self._text = self._draft.transcript().text
                yield Shown(text=self._text)
            case Transcript():
                self._language = event.language
                yield self._written(event, files=_files(event))
            case Finished():
                report = transcript_report(event, self._heard_s, self._words, self._language)
                yield Shown(report=report)

    def stopped(self) -> Shown:
        """The page of a run that ends before its time: what was written stays."""
        draft = self._draft.transcript()
        return self._written(draft, report="", files=_files(draft) if draft.segments else {})

    def _written(
        self,
        transcript: Transcript,
        report: str | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Shown:
        table = segment_table(transcript.segments, self._words)
        return Shown(transcript.text, report, segments=table, files=files)

    def _progress(self, event: SegmentStarted) -> str:
        at = short_clock(event.start_s)
        label = self._words["transcribe_part"].format(index=event.index, total=event.total, at=at)
        return progress(label, event.index - 1, event.total)


def segment_table(segments: tuple[Segment, ...], words: Mapping[str, str]) -> str:
    if not segments:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{short_clock(s.start_s)} – {short_clock(s.end_s)}</th>'
        f"<td>{html.escape(s.text)}</td></tr>"
        for s in segments
    )
    return (
        f'<table class="segments"><thead><tr><th scope="col">{words["transcribe_time"]}</th>'
        f'<th scope="col">{words["transcribe_words"]}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def short_clock(seconds: float) -> str:
    """83.26 -> "1:23.3"; people need no more than tenths."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes}:{tenths // 10:02}.{tenths % 10}"


def _files(transcript: Transcript) -> dict[str, str]:
    return {name: written(transcript) for name, written in FORMATS.items()}
