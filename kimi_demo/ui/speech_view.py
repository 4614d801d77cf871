"""What the speech tab shows while a text is read aloud."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping

import numpy as np

from kimi_demo.audio import Audio
from kimi_demo.events import (
    AudioDelta,
    Checked,
    Event,
    Finished,
    Queued,
    SentenceStarted,
    TextDelta,
)
from kimi_demo.ui.player import PlayerFeed
from kimi_demo.ui.said import HeardBack, heard_note
from kimi_demo.ui.view import QueueNote, Shown, progress, speech_report


class SpeechView:
    """Live sound, caption and progress while they come, then the complete recording and a report.

    text: what is read aloud; it names the recording.
    """

    def __init__(
        self, run_id: str, text: str, seed: int, sample_rate: int, words: Mapping[str, str]
    ) -> None:
        self.text = text
        self._feed = PlayerFeed(run_id, sample_rate)
        self._words = words
        self._seed = seed
        self._sample_rate = sample_rate
        self._sentences: list[tuple[str, list[np.ndarray]]] = []
        self._heard: list[HeardBack] = []
        self._ended = False
        self._queue = QueueNote(words)
        self._label = ""
        self._caption = ""

    def started(self) -> Shown:
        return Shown(player=self._feed.started(), caption="", report="", heard="")

    def shown(self, event: Event) -> Iterator[Shown]:
        match event:
            case Queued():
                for report in self._queue.changed(event, otherwise=self._label):
                    yield Shown(report=report)
            case SentenceStarted():
                self._sentences.append((event.text, []))
                self._label = self._progress(event)
                yield Shown(report=self._label)
            case TextDelta():
                self._caption += event.text
                yield Shown(caption=self._caption)
            case AudioDelta():
                self._take(event.waveform)
                for value in self._feed.sound(event.waveform):
                    yield Shown(player=value)
            case Finished():
                self._ended = True
                yield Shown(
                    player=self._feed.ended(),
                    recording=self._recording(),
                    report=speech_report(event, self._seed, self._words),
                )

    @property
    def said(self) -> list[tuple[str, Audio]]:
        return [
            (text, Audio(np.concatenate(pieces), self._sample_rate))
            for text, pieces in self._sentences
            if pieces
        ]

    def listening(self) -> Shown:
        return Shown(heard=heard_note((), len(self.said), self._words))

    def heard(self, event: Event) -> Iterator[Shown]:
        if isinstance(event, Checked):
            text, _ = self.said[len(self._heard)]
            self._heard.append(HeardBack.of(text, event.heard))
            yield Shown(heard=heard_note(self._heard, len(self.said), self._words))

    def stopped(self) -> Shown:
        """The page of a run that ends before its time: what was spoken stays."""
        if self._ended:  # it was listening to itself
            return Shown(heard="")
        recording = self._recording()
        if recording is None:
            return Shown(report="")
        kept = self._words["speech_kept"].format(seconds=f"{recording.duration_s:.1f}")
        return Shown(recording=recording, report=f'<p class="progress">{html.escape(kept)}</p>')

    def _progress(self, event: SentenceStarted) -> str:
        label = self._words["speech_sentence"].format(index=event.index, total=event.total)
        return progress(label, event.index - 1, event.total)

    def _take(self, waveform: np.ndarray) -> None:
        if not self._sentences:
            self._sentences.append(("", []))
        self._sentences[-1][1].append(waveform)

    def _recording(self) -> Audio | None:
        pieces = [piece for _, pieces in self._sentences for piece in pieces]
        return Audio(np.concatenate(pieces), self._sample_rate) if pieces else None
