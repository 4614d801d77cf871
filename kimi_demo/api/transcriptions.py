"""POST /audio/transcriptions and /audio/translations."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from kimi_demo import subtitles
from kimi_demo.api.service import Caller, Calling, Computing, Service, ignored
from kimi_demo.api.streaming import LiveResponse, read_up_to, running, sse_lines, unless_gone, whole
from kimi_demo.api.uploads import SoundForm, TranscriptionForm, TranslationForm
from kimi_demo.audio import INPUT_SAMPLE_RATE, MAX_FILE_S, Audio, decode
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.job import Job
from kimi_demo.engine.tasks.transcribe import heard_languages
from kimi_demo.errors import InputError
from kimi_demo.events import Event, Finished, TextDelta, Transcript
from kimi_demo.intents import Transcribe, Translate
from kimi_demo.messages import Sampling
from kimi_demo.transcripts import FlowingWords, transcript_of
from kimi_demo.wire import sse
from kimi_demo.wire.conversation import blamed
from kimi_demo.wire.progress import progress_of
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
    wanted = _Wanted(service, form, hints)

    def intent(sound: Audio) -> Transcribe:
        return Transcribe(sound, language, form.wording or "", **wanted.how)

    return await _answer(request, caller, wanted, intent)


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
    wanted = _Wanted(service, form, form.hints(), translated=True)
    return await _answer(request, caller, wanted, lambda sound: Translate(sound, **wanted.how))


MakeIntent = Callable[[Audio], Transcribe | Translate]


@dataclass(frozen=True)
class _Wanted:
    """What is to be done. hints: what was given and has no effect, by name."""

    service: Service
    form: SoundForm
    hints: Mapping[str, object]
    translated: bool = False

    @property
    def sampling(self) -> Sampling:
        return self.form.sampling(self.service.engine.capabilities.tasks.listening_sampling)

    @property
    def how(self) -> dict[str, Any]:
        """Of the intent, besides the sound."""
        return {
            "sampling": self.sampling if self.form.draws else None,
            "seed": self.form.seed,
            "again": self.form.may_try_again,
            "may_be_empty": True,
        }

    @property
    def headers(self) -> dict[str, str]:
        return ignored(self.hints)

    async def sound(self) -> Audio:
        """What was sent. Raises: AudioError."""
        with blamed("file"):
            file = self.form.file.file
            return await self.service.decoded(lambda: decode(file, MAX_FILE_S, INPUT_SAMPLE_RATE))

    async def started(self, intent: Transcribe | Translate) -> Job:
        """Where somebody speaks is sought at once: work like decoding. Raises: InputError."""
        with blamed("file"):
            async with self.service.decoding:
                return await self.service.begun(intent)


def _language(given: str | None, capabilities: Capabilities) -> str:
    """The code of the language that was named; "" if it is to be found out.

    Raises: InputError for a language that the model does not know.
    """
    possible = heard_languages(capabilities.tasks, capabilities.languages)
    if given and given not in possible:
        raise InputError(
            f"there is no language {given[:64]!r} here: leave it out, or choose one of "
            f"{', '.join(possible)}",
            param="language",
        )
    return given or ""


async def _answer(
    request: Request, caller: Caller, wanted: _Wanted, intent: MakeIntent
) -> Response:
    reply = _streamed if wanted.form.stream else _whole
    return await unless_gone(request, reply(caller, wanted, intent))


async def _whole(caller: Caller, wanted: _Wanted, intent: MakeIntent) -> Response:
    sound = await wanted.sound()
    transcript, finished = transcript_of(await whole(running(await wanted.started(intent(sound)))))
    caller.used(heard_s=sound.duration_s)
    match wanted.form.response_format:
        case "json":
            return JSONResponse(_plain(transcript, finished).model_dump(), headers=wanted.headers)
        case "verbose_json":
            reply = _verbose(transcript, finished, wanted, sound.duration_s)
            return JSONResponse(reply.model_dump(), headers=wanted.headers)
        case name:
            write, media_type = _WRITTEN[name]
            return Response(write(transcript), headers=wanted.headers, media_type=media_type)


async def _streamed(caller: Caller, wanted: _Wanted, intent: MakeIntent) -> Response:
    sound = await wanted.sound()
    kinds = Event if wanted.form.progress else TextDelta | Finished
    job = await wanted.started(intent(sound))
    events = await read_up_to(running(job), lambda event: isinstance(event, kinds))
    caller.used(heard_s=sound.duration_s)
    lines = sse_lines(events, _Rendering(wanted.form.progress).of)
    return LiveResponse(lines, media_type=sse.MEDIA_TYPE, headers=wanted.headers)


class _Rendering:
    """The events of one transcript as the client reads them; its deltas make its whole text, unless
    it asked for the progress, which says where each of them belongs.
    """

    def __init__(self, with_progress: bool) -> None:
        self._words = None if with_progress else FlowingWords()
        self._transcript: Transcript | None = None

    def of(self, event: Event) -> Iterator[BaseModel]:
        if words := self._delta(event):
            yield TranscriptDelta(type="transcript.text.delta", delta=words)
        if isinstance(event, Transcript):
            self._transcript = event
        if self._words is None and (progress := progress_of(event)):
            yield progress
        if isinstance(event, Finished) and self._transcript:
            whole_one = _plain(self._transcript, event)
            yield TranscriptDone(type="transcript.text.done", **dict(whole_one))

    def _delta(self, event: Event) -> str:
        if self._words:
            return self._words.take(event)
        return event.text if isinstance(event, TextDelta) else ""


def _plain(transcript: Transcript, finished: Finished) -> Transcription:
    return Transcription(
        text=transcript.text,
        usage=usage_of(finished),
        finish_reason=finished.reason,
    )


def _verbose(
    transcript: Transcript, finished: Finished, wanted: _Wanted, duration_s: float
) -> VerboseTranscription:
    segments = [
        TranscriptSegment(
            id=index,
            seek=round(100 * segment.start_s),
            start=round(segment.start_s, 3),
            end=round(segment.end_s, 3),
            text=segment.text,
            temperature=wanted.sampling.text.temperature,
            compression_ratio=_compression(segment.text),
        )
        for index, segment in enumerate(transcript.segments)
    ]
    return VerboseTranscription(
        task="translate" if wanted.translated else "transcribe",
        language="english" if wanted.translated else _named(transcript.language),
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
