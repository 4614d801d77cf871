"""Writing down recordings of any length, one piece of speech after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from kimi_demo.audio import MAX_FILE_S, Audio, check_heard, check_length
from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.errors import AudioError, InputError
from kimi_demo.events import Event, Finished, StartedOver, TextDelta
from kimi_demo.messages import Request, Sampling
from kimi_demo.services import retrying
from kimi_demo.services.languages import chosen_language, flowing, joint, spoken_language
from kimi_demo.services.relay import Totals, relayed
from kimi_demo.services.segments import Span, speech_spans
from kimi_demo.tasks import ANY_LANGUAGE
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
    """All that was said, in order. language: see `spoken_language`.

    heard_s: sound that the model listened to, counted as often as it did.
    """

    segments: tuple[Segment, ...]
    language: str
    heard_s: float = 0.0

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

    def take(self, event: TranscribingEvent) -> str:
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


def heard_languages(capabilities: Capabilities) -> tuple[str, ...]:
    """The languages that may be named beforehand: those which the checkpoint knows. One for which
    it has no words of its own is a hint that changes nothing.
    """
    known = {*capabilities.languages, *capabilities.tasks.transcription_prompts}
    return tuple(sorted(known - {ANY_LANGUAGE}))


def transcribe(
    engine: Engine,
    audio: Audio,
    language: str = "",
    seed: int = 0,
    wording: str = "",
    *,
    translated: bool = False,
    again: bool = True,
    sampling: Sampling | None = None,
    may_be_empty: bool = False,
) -> Generator[TranscribingEvent, None, None]:
    """Writes down a recording: for each piece of speech SegmentStarted and its words, at the end
    the Transcript and one Finished for all. After StartedOver the words of the latest piece come
    anew. close() cancels what the engine is doing.

    translated: in English, whatever is spoken. again: whether a piece of which the model only
    repeated itself is heard once more, which takes words back. sampling: in place of the task
    table's. may_be_empty: a sound without a word has a Transcript without segments, and is no
    error.

    Raises: AudioError at once if the recording is silent, too short or too long or nobody speaks
    in it, and at the end if no word was understood; InputError for an unknown language or wording,
    and at the end if it should be translated and the checkpoint has not learned how.
    """
    tasks = engine.capabilities.tasks
    chosen = chosen_language(language, heard_languages(engine.capabilities))
    (check_length if may_be_empty else check_heard)(audio, MAX_FILE_S)
    pieces = _pieces(audio, min(tasks.max_segment_s, tasks.max_audio_s))
    if not pieces and not may_be_empty:
        raise AudioError("nobody seems to speak in this sound: check the microphone or the file")
    learned = translated and bool(tasks.translation_prompt)

    def request(sound: Audio, goes_on: bool) -> Request:
        usual = (
            tasks.translation(sound, seed)
            if learned
            else tasks.transcription(sound, chosen, seed, wording)
        )
        return replace(usual, sampling=sampling or usual.sampling, goes_on=goes_on)

    ask = partial(retrying.stream, engine) if again else engine.stream
    checks = [] if may_be_empty else [_check_words]
    if translated and not learned:
        checks.append(_check_english)
    plan = [(piece, request(piece.audio, goes_on=n > 0)) for n, piece in enumerate(pieces)]
    return _written(ask, plan, "en" if translated else chosen, checks)


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


@dataclass(frozen=True)
class _Piece:
    """What is heard at once. span: where in it somebody speaks."""

    span: Span
    audio: Audio


def _pieces(audio: Audio, max_span_s: float) -> list[_Piece]:
    """A short sound is one piece, with the silence around its speech."""
    spans = speech_spans(audio, max_span_s)
    if len(spans) == 1 and audio.duration_s <= max_span_s:
        return [_Piece(spans[0], audio)]
    return [_Piece(span, span.of(audio)) for span in spans]


def _written(
    ask: Callable[[Request], Generator[Event, None, None]],
    plan: list[tuple[_Piece, Request]],
    language: str,
    checks: list[Callable[[Transcript], None]],
) -> Generator[TranscribingEvent, None, None]:
    totals, draft, heard_s = Totals(), TranscriptDraft(), 0.0
    for index, (piece, request) in enumerate(plan, 1):
        begun = SegmentStarted(index, len(plan), piece.span.start_s, piece.span.end_s)
        draft.take(begun)
        yield begun
        heard_s += piece.audio.duration_s
        with closing(relayed(ask(request), totals)) as events:
            for event in events:
                heard_s += piece.audio.duration_s if isinstance(event, StartedOver) else 0.0
                draft.take(event)
                yield event
    transcript = replace(draft.transcript(language), heard_s=heard_s)
    for check in checks:
        check(transcript)
    yield transcript
    yield totals.finished()


def _check_words(transcript: Transcript) -> None:
    if not transcript.segments:
        raise AudioError("no word was understood in this sound: try a clearer recording")


def _check_english(transcript: Transcript) -> None:
    """English is its own translation."""
    if language_of(transcript.text) != "en":
        raise InputError(
            "this model has not learned to translate, and no English is spoken in this sound: ask "
            "/v1/audio/transcriptions for a transcription instead"
        )
