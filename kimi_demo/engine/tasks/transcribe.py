"""Writing down recordings of any length, one piece of speech after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from kimi_demo.audio import MAX_FILE_S, Audio, check_heard, check_length
from kimi_demo.engine.tasks.again import told_well
from kimi_demo.engine.tasks.turns import Sum, part_of, told
from kimi_demo.engine.tasks.words import in_language, unknown
from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.errors import AudioError, InputError
from kimi_demo.events import Event, SegmentStarted, Transcript
from kimi_demo.intents import Transcribe, Translate
from kimi_demo.messages import AudioPart, Message, Sampling, TextPart
from kimi_demo.tasks import ANY_LANGUAGE, TaskTable
from kimi_demo.text import language_of
from kimi_demo.text.languages import chosen_language
from kimi_demo.transcripts import TranscriptDraft
from kimi_demo.voice_activity import Span, speech_spans


def heard_languages(tasks: TaskTable, languages: tuple[str, ...]) -> tuple[str, ...]:
    """The languages that may be named beforehand: those which the checkpoint knows. One for which
    it has no words of its own is a hint that changes nothing.
    """
    return tuple(sorted({*languages, *tasks.transcription_prompts} - {ANY_LANGUAGE}))


def transcribe(
    intent: Transcribe | Translate,
    tasks: TaskTable,
    languages: tuple[str, ...],
    run_turn: RunTurn,
) -> Generator[Event, None, None]:
    """For each piece of speech SegmentStarted and its words, at the end the Transcript and one
    Finished for all. After StartedOver the words of the latest piece come anew.

    Raises: AudioError at once if the recording is silent, too short or too long or nobody speaks
    in it, and at the end if no word was understood; InputError for an unknown language or wording,
    and at the end if it should be translated and the checkpoint has not learned how.
    """
    instruction = _instruction(intent, tasks, languages)
    check_audible(intent)
    pieces = _pieces(intent.sound, min(tasks.max_segment_s, tasks.max_audio_s))
    if not pieces and not intent.may_be_empty:
        raise AudioError("nobody seems to speak in this sound: check the microphone or the file")
    plan = [(piece, _turn(intent, piece.audio, instruction, tasks)) for piece in pieces]
    checks = [] if intent.may_be_empty else [check_words]
    if isinstance(intent, Translate) and not tasks.translation_prompt:
        checks.append(_check_english)
    if intent.again:
        return _written(lambda t: told_well(run_turn, t, tasks), plan, instruction.hint, checks)
    return _written(lambda turn: told(run_turn, turn), plan, instruction.hint, checks)


def check_audible(intent: Transcribe | Translate) -> None:
    """Raises: AudioError for a recording that is too short or too long, or silent where it may not
    be."""
    (check_length if intent.may_be_empty else check_heard)(intent.sound, MAX_FILE_S)


def check_words(transcript: Transcript) -> None:
    """Raises: AudioError if there is none."""
    if not transcript.segments:
        raise AudioError("no word was understood in this sound: try a clearer recording")


@dataclass(frozen=True)
class _Instruction:
    """What the model is told. hint: the language of the words, if it is known beforehand."""

    prompt: str
    sampling: Sampling
    hint: str


def _instruction(
    intent: Transcribe | Translate, tasks: TaskTable, languages: tuple[str, ...]
) -> _Instruction:
    """Raises: InputError for an unknown language or wording."""
    if isinstance(intent, Translate):
        prompt = tasks.translation_prompt or in_language(tasks.transcription_prompts, "")
        return _Instruction(prompt, intent.sampling or tasks.listening_sampling, "en")
    chosen = chosen_language(intent.language, heard_languages(tasks, languages))
    if intent.wording and intent.wording not in tasks.wordings:
        raise unknown("wording", intent.wording, tasks.wordings)
    prompt = tasks.wordings.get(intent.wording)
    usual = tasks.evaluation_sampling if prompt else tasks.listening_sampling
    prompt = prompt or in_language(tasks.transcription_prompts, chosen)
    return _Instruction(prompt, intent.sampling or usual, chosen)


def _turn(
    intent: Transcribe | Translate, sound: Audio, told: _Instruction, tasks: TaskTable
) -> TurnRequest:
    message = Message("user", (TextPart(told.prompt), AudioPart(sound)))
    limit = tasks.transcript_limit.of(sound)
    return TurnRequest((message,), "text", told.sampling, intent.seed, limit)


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
    tell: Callable[[TurnRequest], Generator[Event, None, None]],
    plan: list[tuple[_Piece, TurnRequest]],
    language: str,
    checks: list[Callable[[Transcript], None]],
) -> Generator[Event, None, None]:
    total, draft = Sum(), TranscriptDraft()
    for index, (piece, turn) in enumerate(plan, 1):
        begun = SegmentStarted(index, len(plan), piece.span.start_s, piece.span.end_s)
        draft.take(begun)
        yield begun
        with closing(part_of(tell(turn), total)) as events:
            for event in events:
                draft.take(event)
                yield event
    transcript = draft.transcript(language)
    for check in checks:
        check(transcript)
    yield transcript
    yield total.finished()


def _check_english(transcript: Transcript) -> None:
    if language_of(transcript.text) != "en":
        raise InputError(
            "this model has not learned to translate, and no English is spoken in this sound: ask "
            "/v1/audio/transcriptions for a transcription instead"
        )
