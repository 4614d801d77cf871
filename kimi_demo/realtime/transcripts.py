"""What the user was heard to say, in writing, for a client that wants to be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kimi_demo.events import Event, Finished, TextDelta
from kimi_demo.intents import Transcribe
from kimi_demo.realtime import told
from kimi_demo.realtime.items import Items, Recording
from kimi_demo.wire.realtime import Transcription


@dataclass(frozen=True)
class Write:
    """A transcript of an item is wanted; its events come back with `take_transcript`."""

    item_id: str
    intent: Transcribe


class Transcripts:
    """The model's own where it tells what it heard before it answers, else one made for it."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._due: dict[str, Transcription] = {}  # items of which a client waits for it

    def want(self, id_: str, how: Transcription | None, answered: bool) -> Iterator[Write]:
        """A recording was committed. answered: whether an answer follows, which may tell."""
        if how:
            self._due[id_] = how
            if not answered:
                yield from self.write(id_)

    def write(self, id_: str) -> Iterator[Write]:
        """Nobody told what was heard."""
        how, recording = self._due.pop(id_, None), self._recording(id_)
        if how and recording:
            language = how.language or ""
            yield Write(id_, Transcribe(recording.sound, language, again=False, may_be_empty=True))

    def overheard(self, id_: str | None, text: str) -> Iterator[dict[str, Any]]:
        """An answer tells more of what it answers."""
        if id_ in self._due:
            yield from self._grown(id_, text)

    def all_overheard(self, id_: str | None) -> Iterator[Write | dict[str, Any]]:
        """An answer begins, or ends: it tells no more of what it answers."""
        if id_ not in self._due:
            return
        recording = self._recording(id_)
        if recording and recording.transcript.strip():
            del self._due[id_]
            yield from self._done(id_)
        else:
            yield from self.write(id_)

    def take(self, id_: str, event: Event) -> Iterator[dict[str, Any]]:
        """An event of a transcript that was made for it."""
        match event:
            case TextDelta(text):
                yield from self._grown(id_, text)
            case Finished():
                yield from self._done(id_)
            case _:
                pass

    def _grown(self, id_: str, text: str) -> Iterator[dict[str, Any]]:
        if recording := self._recording(id_):
            self._set(id_, recording, recording.transcript + text)
            yield told.transcript_delta(id_, text)

    def _done(self, id_: str) -> Iterator[dict[str, Any]]:
        if recording := self._recording(id_):
            text = recording.transcript.strip()
            self._set(id_, recording, text)
            yield told.transcript_completed(id_, text, recording.sound.duration_s)

    def _recording(self, id_: str) -> Recording | None:
        part = self._items.find(id_).parts[0] if self._items.has(id_) else None
        return part if isinstance(part, Recording) else None

    def _set(self, id_: str, recording: Recording, text: str) -> None:
        item = self._items.find(id_)
        parts = (dataclasses.replace(recording, transcript=text), *item.parts[1:])
        self._items.replace(dataclasses.replace(item, parts=parts))
