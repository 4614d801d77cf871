"""Writing down recordings of any length, one piece of speech after the other."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace

from kimi_demo.audio import MAX_FILE_S, Audio, check_heard
from kimi_demo.engine.base import Engine
from kimi_demo.errors import AudioError
from kimi_demo.events import Event, Finished, StartedOver, TextDelta
from kimi_demo.messages import Request
from kimi_demo.services import retrying
from kimi_demo.services.languages import chosen_language, flowing
from kimi_demo.services.relay import Totals, relayed
from kimi_demo.services.segments import Span, speech_spans
from kimi_demo.tasks import ANY_LANGUAGE, TaskTable
from kimi_demo.text import language_of


@dataclass(frozen=True)
class SegmentStarted:
    """The next piece of speech is listened to. index counts from 1."""

    index: int
    total: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Segment:
    """What was said from start_s to end_s of the recording."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """All that was said, in order. language: as chosen, else as the words look."""

    segments: tuple[Segment, ...]
    language: str

    @property
    def text(self) -> str:
        """One paragraph."""
        return flowing(segment.text for segment in self.segments)


TranscribingEvent = Event | SegmentStarted | Transcript


class TranscriptDraft:
    """The transcript as far as it has come; a fold over the events."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []

    def take(self, event: TranscribingEvent) -> None:
        """One event more; those that bring or take no words change nothing."""
        match event:
            case SegmentStarted():
                self._segments.append(Segment(event.start_s, event.end_s, ""))
            case TextDelta():
                last = self._segments[-1]
                self._segments[-1] = replace(last, text=last.text + event.text)
            case StartedOver():
                self._segments[-1] = replace(self._segments[-1], text="")

    def transcript(self, language: str = "") -> Transcript:
        """What has been written so far; pieces without a word are left out."""
        trimmed = (replace(segment, text=segment.text.strip()) for segment in self._segments)
        segments = tuple(segment for segment in trimmed if segment.text)
        return Transcript(segments, language or language_of(flowing(s.text for s in segments)))


def heard_languages(tasks: TaskTable) -> tuple[str, ...]:
    """The languages of which a checkpoint can be told beforehand."""
    return tuple(sorted(code for code in tasks.transcription_prompts if code != ANY_LANGUAGE))


def transcribe(
    engine: Engine, audio: Audio, language: str = "", seed: int = 0, wording: str = ""
) -> Generator[TranscribingEvent, None, None]:
    """Writes down a recording: for each piece of speech SegmentStarted and its words, at the end
    the Transcript and one Finished for all. After StartedOver the words of the latest piece come
    anew. close() cancels what the engine is doing.

    Raises: AudioError at once if the recording is silent, too long or nobody speaks in it, and at
    the end if no word was understood; InputError for an unknown language or wording.
    """
    tasks = engine.capabilities.tasks
    chosen = chosen_language(language, heard_languages(tasks))
    check_heard(audio, MAX_FILE_S)
    max_span_s = min(tasks.max_segment_s, tasks.max_audio_s)
    spans = speech_spans(audio, max_span_s)
    if not spans:
        raise AudioError("nobody seems to speak in this sound: check the microphone or the file")
    whole = len(spans) == 1 and audio.duration_s <= max_span_s
    pieces = [audio] if whole else [span.of(audio) for span in spans]
    plan = [
        (span, tasks.transcription(piece, chosen, seed, wording))
        for span, piece in zip(spans, pieces, strict=True)
    ]
    return _written(engine, plan, chosen)


def transcript_of(events: Generator[TranscribingEvent, None, None]) -> tuple[Transcript, Finished]:
    """Runs `transcribe` to its end, or closes it."""
    transcript, finished = None, None
    with closing(events):
        for event in events:
            match event:
                case Transcript():
                    transcript = event
                case Finished():
                    finished = event
    assert transcript is not None
    assert finished is not None
    return transcript, finished


def _written(
    engine: Engine, plan: list[tuple[Span, Request]], language: str
) -> Generator[TranscribingEvent, None, None]:
    totals = Totals()
    draft = TranscriptDraft()
    for index, (span, request) in enumerate(plan, 1):
        begun = SegmentStarted(index, len(plan), span.start_s, span.end_s)
        draft.take(begun)
        yield begun
        with closing(relayed(retrying.stream(engine, request), totals)) as events:
            for event in events:
                draft.take(event)
                yield event
    transcript = draft.transcript(language)
    if not transcript.segments:
        raise AudioError("no word was understood in this sound: try a clearer recording")
    yield transcript
    yield totals.finished()
