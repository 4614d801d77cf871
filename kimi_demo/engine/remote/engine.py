"""The engine that asks a server; nothing is computed here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio.to_thread
import httpx
from pydantic import ValidationError

from kimi_demo.audio import OUTPUT_SAMPLE_RATE
from kimi_demo.engine import tasks
from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.engine.remote import requests
from kimi_demo.engine.remote.connection import Connection
from kimi_demo.engine.remote.replies import (
    ChatAnswer,
    Ending,
    Increment,
    ModelName,
    ModelNames,
    ReplyChunk,
    Sound,
    finished,
    read,
)
from kimi_demo.engine.remote.requests import Asked, Dialect
from kimi_demo.engine.tasks.self_check import checked, listening
from kimi_demo.engine.tasks.transcribe import check_words
from kimi_demo.engine.tasks.turns import Sum
from kimi_demo.errors import AccessError, AudioError, EngineError, InputError, UnknownName
from kimi_demo.events import (
    Event,
    Finished,
    Segment,
    SegmentStarted,
    SentenceStarted,
    Started,
    TextDelta,
    Transcript,
)
from kimi_demo.intents import Intent, ListenBack, Speak, Transcribe, Translate
from kimi_demo.options import RemoteOptions
from kimi_demo.tasks import ANY_LANGUAGE, TaskTable
from kimi_demo.text.languages import spoken_language
from kimi_demo.wire import sse
from kimi_demo.wire.models import About
from kimi_demo.wire.progress import Progress, event_of

# Of the hosted service, where no others are named.
SPEECH_MODEL = "gpt-4o-mini-tts"
TRANSCRIPTION_MODEL = "gpt-4o-transcribe"
TRANSLATION_MODEL = "whisper-1"  # the only one that translates
CHAT_MODEL = "gpt-audio"
HOSTED_SLOTS = 8
LANGUAGES = ("en", "zh")
NO_LINE = 10_000  # slots in front of a server of ours: it has the line, for all its callers

# Such a server has its own words for reading aloud and writing down, and hears closed questions as
# they were published.
HOSTED_TASKS = TaskTable(
    speech_prompts={},
    speech_prompt="",
    transcription_prompts=dict.fromkeys((ANY_LANGUAGE, *LANGUAGES), ""),
    wordings={},
)


class RemoteEngine(Engine):
    """Maps each intent on an endpoint of an OpenAI-compatible server."""

    def __init__(
        self, connection: Connection, dialect: Dialect, capabilities: Capabilities
    ) -> None:
        super().__init__(capabilities, slots=NO_LINE if dialect.ours else None)
        self._connection = connection
        self._dialect = dialect

    @classmethod
    def connected(cls, options: RemoteOptions) -> RemoteEngine:
        """An engine over this server, which is asked what it is.

        Raises: EngineAway if nothing answers there; AccessError if the key is wrong; EngineError
        if it is no such server; InputError if the address is none.
        """
        connection = Connection(options.base_url, options.api_key)
        try:
            return cls(connection, *introduced(connection, options))
        except BaseException:
            connection.close()
            raise

    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        """See `Engine.answer`. Closing it hangs up at once."""
        tasks.check(intent, self.capabilities)
        try:
            return self._connection.listen(self._asked(intent))
        except ValidationError as exc:
            raise refused(exc) from exc

    def close(self) -> None:
        """Drops what is asked; the server itself goes on."""
        super().close()
        self._connection.close()

    def _asked(self, intent: Intent) -> AsyncGenerator[Event, None]:
        match intent:
            case Speak():
                return self._spoken(intent.text, requests.speech(intent, self._dialect))
            case Transcribe() | Translate():
                return self._written(intent)
            case ListenBack():
                return self._heard_back(intent)
            case _:
                return self._asked_in_chat(intent)

    def _asked_in_chat(self, intent: Asked) -> AsyncGenerator[Event, None]:
        by_id = requests.chat(intent, self._dialect)
        in_words = None
        if requests.refers(intent):
            in_words = requests.chat(intent, self._dialect, by_id=False)
        return self._answered(intent, by_id, in_words)

    async def _spoken(self, text: str, body: dict[str, Any]) -> AsyncGenerator[Event, None]:
        async with self._connection.posted("/audio/speech", json=body) as response:
            told = _events(response) if self._dialect.ours else _speech_bytes(response, text)
            async for event in told:
                yield event

    async def _written(self, intent: Transcribe | Translate) -> AsyncGenerator[Event, None]:
        address, content = requests.transcription(intent, self._dialect)
        async with self._connection.posted(address, **content) as response:
            told = _events(response) if self._dialect.ours else _words(response, intent)
            async for event in told:
                if isinstance(event, Transcript) and not intent.may_be_empty:
                    check_words(event)
                yield event

    async def _heard_back(self, intent: ListenBack) -> AsyncGenerator[Event, None]:
        """One transcript after the other: no endpoint listens to several sounds."""
        total, known = Sum(), self.capabilities
        for text, sound in intent.said:
            wanted = listening(sound, text, known.tasks, known.languages)
            heard: list[Event] = []
            try:
                await anyio.to_thread.run_sync(tasks.check, wanted, known)
                heard = [event async for event in self._written(wanted)]
            except AudioError:  # silence says nothing
                pass
            for event in heard:
                total.take(event)
            yield checked(text, heard)
        yield total.finished()

    async def _answered(
        self, intent: Asked, by_id: dict[str, Any], in_words: dict[str, Any] | None
    ) -> AsyncGenerator[Event, None]:
        answer = ChatAnswer(requests.options(intent, self._dialect))
        async with self._accepted(by_id, in_words) as response:
            async for value in sse.values(response):
                for event in answer.take(read(ReplyChunk, value)):
                    yield event
        for event in answer.ending():
            yield event

    @asynccontextmanager
    async def _accepted(
        self, by_id: dict[str, Any], in_words: dict[str, Any] | None
    ) -> AsyncGenerator[httpx.Response]:
        """The reply; if it is refused with answers by their ids, the reply to their words. An id
        may have expired, and a refusal costs nothing.
        """
        async with AsyncExitStack() as stack:
            post = self._connection.posted
            try:
                response = await stack.enter_async_context(post("/chat/completions", json=by_id))
            except InputError:
                if in_words is None:
                    raise
                told_again = post("/chat/completions", json=in_words)
                response = await stack.enter_async_context(told_again)
            yield response


def refused(exc: ValidationError) -> InputError:
    """A request that no server of this protocol takes."""
    found = exc.errors()[0]
    return InputError(f"the server takes no such request: {found['loc'][-1]}: {found['msg']}")


async def _speech_bytes(response: httpx.Response, text: str) -> AsyncIterator[Event]:
    sound = Sound()
    yield Started(0)
    yield SentenceStarted(1, 1, text)
    async for content in response.aiter_bytes():
        for delta in sound.push(content):
            yield delta
    yield finished(Ending())


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    """Of speech, or of a transcript; one that comes whole has its words at the end."""
    sound, words = Sound(), ""
    async for value in sse.values(response):
        increment = read(Increment, value)
        match increment.type:
            case "progress":
                yield event_of(read(Progress, value))
            case "speech.text.delta" | "transcript.text.delta" if increment.delta:
                words += increment.delta
                yield TextDelta(increment.delta)
            case "speech.audio.done" | "transcript.text.done":
                ending = read(Ending, value)
                if ending.text and not words:
                    yield TextDelta(ending.text)
                yield finished(ending, sound.tokens)
                return
            case _:
                for delta in sound.push_base64(increment.audio):
                    yield delta
    raise EngineError("the server's answer broke off: send the request again")


async def _words(response: httpx.Response, intent: Transcribe | Translate) -> AsyncIterator[Event]:
    """Others tell no times: all is one segment. Some do not stream, whatever they are asked for."""
    end_s = intent.sound.duration_s
    yield Started(0)
    yield SegmentStarted(1, 1, 0.0, end_s)
    streamed = sse.MEDIA_TYPE in response.headers.get("content-type", "")
    words = ""
    async for event in _events(response) if streamed else _whole(response):
        if isinstance(event, TextDelta):
            words += event.text
        if isinstance(event, Finished):
            hint = "en" if isinstance(intent, Translate) else intent.language
            said = (Segment(0.0, end_s, words.strip()),) if words.strip() else ()
            yield Transcript(said, spoken_language(words.strip(), hint))
        yield event


async def _whole(response: httpx.Response) -> AsyncIterator[Event]:
    await response.aread()
    try:
        ending = read(Ending, response.json())
    except ValueError as exc:
        raise EngineError("the server's transcript is no JSON") from exc
    if ending.text:
        yield TextDelta(ending.text)
    yield finished(ending)


def introduced(connection: Connection, options: RemoteOptions) -> tuple[Dialect, Capabilities]:
    """How the server is talked to, and what the page shows of it.

    Raises: EngineAway if nothing answers; AccessError if the key is wrong; EngineError if what
    answers is no such server.
    """
    found = _about(_models(connection))
    if found is None:
        return _hosted(connection, options)
    name, about = found
    model = options.model or name
    capabilities = _described(name, about, connection.host)
    transcription = options.transcription_model or model
    dialect = Dialect(
        True,
        model,
        options.speech_model or model,
        transcription,
        transcription,
        options.voice,
        capabilities.tasks,
    )
    return dialect, capabilities


def _models(connection: Connection) -> list[ModelName]:
    """What there is; nothing, if the server has no list of it."""
    try:
        reply = connection.get("/models")
    except UnknownName:
        return []
    except AccessError as exc:
        raise AccessError(f"{exc} (KIMI_API_KEY says which key is sent)") from exc
    try:
        return ModelNames.model_validate(reply).data
    except ValidationError as exc:
        raise EngineError(
            f"{connection.address} is no OpenAI-compatible server: its address often ends in /v1"
        ) from exc


def _about(models: list[ModelName]) -> tuple[str, About] | None:
    for model in models:
        if model.about is not None:
            return model.id, read(About, model.about)
    return None


def _described(name: str, about: About, host: str) -> Capabilities:
    try:
        tasks = TaskTable.of(about.tasks)
    except ValueError as exc:
        raise EngineError(f"the server at {host} has a task table of another kind: {exc}") from exc
    return Capabilities(
        model=name,
        label=f"{about.label.rstrip()} Computed by the server at {host}.",
        device=host,
        parameters=about.parameters,
        sample_rate=OUTPUT_SAMPLE_RATE,  # of pcm, whatever the model's own is
        languages=tuple(about.languages),
        tasks=tasks,
        card=about.card,
        slots=about.slots,
    )


def _hosted(connection: Connection, options: RemoteOptions) -> tuple[Dialect, Capabilities]:
    model = options.model
    dialect = Dialect(
        False,
        model or CHAT_MODEL,
        options.speech_model or model or SPEECH_MODEL,
        options.transcription_model or model or TRANSCRIPTION_MODEL,
        options.transcription_model or model or TRANSLATION_MODEL,
        options.voice,
        HOSTED_TASKS,
    )
    capabilities = Capabilities(
        model=dialect.chat_model,
        label=f"Asks the server at {connection.host}; words and sounds are sent there.",
        device=connection.host,
        parameters=0,
        sample_rate=OUTPUT_SAMPLE_RATE,
        languages=LANGUAGES,
        tasks=HOSTED_TASKS,
        slots=HOSTED_SLOTS,
    )
    return dialect, capabilities
