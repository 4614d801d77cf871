"""POST /audio/transcriptions and /audio/translations."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from kimi_demo.api.service import Caller, Calling, Computing, Service, ignored
from kimi_demo.api.streaming import (
    LiveResponse,
    read_up_to,
    running,
    sse_lines,
    unless_gone,
    whole,
)
from kimi_demo.api.uploads import SoundForm, TranscriptionForm, TranslationForm
from kimi_demo.audio import INPUT_SAMPLE_RATE, MAX_FILE_S, decode
from kimi_demo.engine.base import Capabilities
from kimi_demo.errors import AudioError, InputError
from kimi_demo.events import Finished, TextDelta
from kimi_demo.messages import CODES_PER_S, Sampling
from kimi_demo.services import subtitles
from kimi_demo.services.transcribing import (
    FlowingWords,
    TranscribingEvent,
    Transcript,
    heard_languages,
    transcribe,
)
from kimi_demo.wire import sse
from kimi_demo.wire.transcription import (
    DurationUsage,
    TranscriptDelta,
    TranscriptDone,
    Transcription,
    TranscriptSegment,
    VerboseTranscription,
    usage_of,
)

router = APIRouter(tags=["audio"])
_REPLIES: dict[str, Any] = {
    "response_model": Transcription | VerboseTranscription,
    "responses": {
        200: {
            "description": "The words, in the chosen format.",
            "content": {kind: {} for kind in ("text/plain", "text/vtt", sse.MEDIA_TYPE)},
        }
    },
}
_LANGUAGES = {"en": "english", "zh": "chinese"}  # as the verbose form calls them
_MULTIPART = Form(media_type="multipart/form-data")


@router.post("/audio/transcriptions", summary="What is said in a sound", **_REPLIES)
async def create_transcription(
    request: Request,
    form: Annotated[TranscriptionForm, _MULTIPART],
    service: Computing,
    caller: Calling,
) -> Response:
    """Writes down a recording of up to an hour, in the language that is spoken.

    It is cut where nobody speaks; segments have the times that the voice activity detector found.
    A sound in which nobody speaks has an empty text.
    """
    service.check_model(form.model)
    form.check()
    capabilities = service.engine.capabilities
    language = _language(form.language, capabilities)
    unheeded = language and language not in capabilities.tasks.transcription_prompts
    hints = {**form.hints(), "language": unheeded}
    return await _answer(request, caller, _Job(service, form, language, hints))


@router.post("/audio/translations", summary="What is said in a sound, in English", **_REPLIES)
async def create_translation(
    request: Request,
    form: Annotated[TranslationForm, _MULTIPART],
    service: Computing,
    caller: Calling,
) -> Response:
    """Writes down a recording of up to an hour in English, whatever is spoken.

    A checkpoint that has not learned to translate can still write down English; a sound in another
    language is then refused.
    """
    service.check_model(form.model)
    form.check()
    job = _Job(service, form, "", form.hints(), translated=True)
    return await _answer(request, caller, job)


@dataclass(frozen=True)
class _Job:
    """What is to be done. hints: what was given and has no effect, by name."""

    service: Service
    form: SoundForm
    language: str
    hints: Mapping[str, object]
    translated: bool = False

    @property
    def sampling(self) -> Sampling:
        return self.form.sampling(self.service.engine.capabilities.tasks.listening_sampling)

    @property
    def headers(self) -> dict[str, str]:
        return ignored(self.hints)

    def begun(self) -> _Begun:
        """Reads the sound and cuts it: work for a thread. Raises: AudioError, InputError."""
        try:
            sound = decode(self.form.file.file, MAX_FILE_S, INPUT_SAMPLE_RATE)
            events = transcribe(
                self.service.engine,
                sound,
                self.language,
                self.form.seed,
                translated=self.translated,
                again=not self.form.stream,
                sampling=self.sampling,
                may_be_empty=True,
            )
        except AudioError as exc:
            raise AudioError(str(exc), exc.param or "file", exc.code) from exc
        return _Begun(sound.duration_s, events)


@dataclass(frozen=True)
class _Begun:
    """A sound that is understood while the events are read."""

    duration_s: float
    events: Generator[TranscribingEvent, None, None]


def _language(given: str | None, capabilities: Capabilities) -> str:
    """The code of the language that was named; "" if it is to be found out.

    Raises: InputError for a language that the model does not know.
    """
    possible = heard_languages(capabilities)
    if given and given not in possible:
        raise InputError(
            f"there is no language {given[:64]!r} here: leave it out, or choose one of "
            f"{', '.join(possible)}",
            param="language",
        )
    return given or ""


async def _answer(request: Request, caller: Caller, job: _Job) -> Response:
    reply = _streamed if job.form.stream else _whole
    return await unless_gone(request, reply(caller, job))


async def _whole(caller: Caller, job: _Job) -> Response:
    begun = await job.service.decoded(job.begun)
    *_, transcript, finished = await whole(begun.events)
    assert isinstance(transcript, Transcript)
    assert isinstance(finished, Finished)
    caller.used(heard_s=begun.duration_s)
    match job.form.response_format:
        case "json":
            return JSONResponse(_plain(transcript, finished).model_dump(), headers=job.headers)
        case "verbose_json":
            reply = _verbose(transcript, finished, job, begun.duration_s)
            return JSONResponse(reply.model_dump(), headers=job.headers)
        case name:
            write, media_type = _WRITTEN[name]
            return Response(write(transcript), headers=job.headers, media_type=media_type)


async def _streamed(caller: Caller, job: _Job) -> Response:
    begun = await job.service.decoded(job.begun)
    events = await read_up_to(
        running(begun.events), lambda event: isinstance(event, TextDelta | Finished)
    )
    caller.used(heard_s=begun.duration_s)
    lines = sse_lines(events, _Rendering().of)
    return LiveResponse(lines, media_type=sse.MEDIA_TYPE, headers=job.headers)


class _Rendering:
    """The events of one transcript as the client reads them; its deltas make its whole text."""

    def __init__(self) -> None:
        self._words = FlowingWords()
        self._transcript: Transcript | None = None

    def of(self, event: TranscribingEvent) -> Iterator[BaseModel]:
        if words := self._words.take(event):
            yield TranscriptDelta(type="transcript.text.delta", delta=words)
        if isinstance(event, Transcript):
            self._transcript = event
        if isinstance(event, Finished) and self._transcript:
            whole_one = _plain(self._transcript, event)
            yield TranscriptDone(type="transcript.text.done", **dict(whole_one))


def _plain(transcript: Transcript, finished: Finished) -> Transcription:
    return Transcription(
        text=transcript.text,
        usage=usage_of(finished, round(CODES_PER_S * transcript.heard_s)),
        finish_reason=finished.reason,
    )


def _verbose(
    transcript: Transcript, finished: Finished, job: _Job, duration_s: float
) -> VerboseTranscription:
    segments = [
        TranscriptSegment(
            id=index,
            seek=round(100 * segment.start_s),
            start=round(segment.start_s, 3),
            end=round(segment.end_s, 3),
            text=segment.text,
            temperature=job.sampling.text.temperature,
            compression_ratio=_compression(segment.text),
        )
        for index, segment in enumerate(transcript.segments)
    ]
    return VerboseTranscription(
        task="translate" if job.translated else "transcribe",
        language="english" if job.translated else _named(transcript.language),
        duration=round(duration_s, 3),
        text=transcript.text,
        segments=segments,
        usage=DurationUsage(seconds=round(duration_s, 3)),
        finish_reason=finished.reason,
    )


def _named(language: str) -> str:
    return _LANGUAGES.get(language, language)


def _compression(text: str) -> float:
    written = text.encode()
    return round(len(written) / len(zlib.compress(written)), 3)


def _paragraph(transcript: Transcript) -> str:
    """The text of the format json, as a line."""
    return f"{transcript.text}\n" if transcript.text else ""


_WRITTEN: dict[str, tuple[Callable[[Transcript], str], str]] = {
    "text": (_paragraph, "text/plain"),
    "srt": (subtitles.srt, "text/plain"),
    "vtt": (subtitles.vtt, "text/vtt"),
}
