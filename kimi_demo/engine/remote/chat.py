"""Everything else: POST /chat/completions, as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from pydantic import ValidationError

from kimi_demo.engine.remote.choosing import label_of
from kimi_demo.engine.remote.questions import body_of, refers
from kimi_demo.engine.remote.replies import Chunk, Usage, read, reason, samples
from kimi_demo.engine.remote.server import Server, refused
from kimi_demo.engine.remote.tally import Tally
from kimi_demo.errors import EngineError, InputError
from kimi_demo.events import Event, Finished, HeardDelta, Started, TextDelta, Weighed
from kimi_demo.messages import Option, Request
from kimi_demo.wire import sse

ADDRESS = "/chat/completions"


def answered(server: Server, request: Request) -> AsyncGenerator[Event, None]:
    """The answer to the request's messages. Raises: InputError for what cannot be asked."""
    try:
        by_id = body_of(server, request)
        in_words = body_of(server, request, by_id=False) if refers(request) else None
    except ValidationError as exc:
        raise refused(exc) from exc
    return _answered(server, request.options, by_id, in_words)


async def _answered(
    server: Server,
    options: Sequence[Option],
    body: dict[str, Any],
    in_words: dict[str, Any] | None,
) -> AsyncGenerator[Event, None]:
    answer = _Choice(options) if options else _Answer()
    async with _accepted(server, body, in_words) as response:
        yield Started(0)
        async for value in sse.values(response):
            for event in answer.take(read(Chunk, value)):
                yield event
    for event in answer.ending():
        yield event


@asynccontextmanager
async def _accepted(
    server: Server, body: dict[str, Any], in_words: dict[str, Any] | None
) -> AsyncIterator[httpx.Response]:
    """The reply; if it is refused with answers by their ids, the reply to their words. An id may
    have expired, and a refusal costs nothing.
    """
    async with AsyncExitStack() as stack:
        post = server.connection.posted
        try:
            response = await stack.enter_async_context(post(ADDRESS, json=body))
        except InputError:
            if in_words is None:
                raise
            response = await stack.enter_async_context(post(ADDRESS, json=in_words))
        yield response


class _Answer:
    """A fold over the chunks of an answer."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._usage = Usage()
        self._reason: str | None = None
        self._audio_id = ""

    def take(self, chunk: Chunk) -> Iterator[Event]:
        """What one chunk brings."""
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            self._reason = choice.finish_reason or self._reason
            delta, audio = choice.delta, choice.delta.audio
            yield from map(HeardDelta, filter(None, [delta.heard]))
            yield from self._tally.text(delta.content or delta.refusal or "")
            if audio:
                self._audio_id = audio.id or self._audio_id
                yield from self._tally.text(audio.transcript or "")
                yield from self._tally.sound(samples(audio.data or ""))

    def ending(self) -> Iterator[Event]:
        """What is left once the stream has ended. Raises: EngineError if it broke off."""
        if self._reason is None:
            raise EngineError("the server's answer broke off: send the request again")
        yield self._finished()

    def _finished(self) -> Finished:
        usage = self._usage
        details = usage.completion_tokens_details
        audio = (details.audio_tokens or 0) if details else 0
        text = details.text_tokens if details else None
        text = usage.made - audio if text is None else text
        return self._tally.finished(reason(self._reason), usage.read, text, audio, self._audio_id)


class _Choice(_Answer):
    """The same for a closed question: its answer is one of the options where it names one."""

    def __init__(self, options: Sequence[Option]) -> None:
        super().__init__()
        self._options = options
        self._words: list[str] = []
        self._probabilities: list[float] = []

    def take(self, chunk: Chunk) -> Iterator[Event]:
        """Nothing is told before the end: the words are the server's, not the label."""
        self._probabilities = chunk.choice_probabilities or self._probabilities
        for event in super().take(chunk):
            if isinstance(event, TextDelta):
                self._words.append(event.text)
        yield from ()

    def ending(self) -> Iterator[Event]:
        """How likely each option is, if the server says so; the answer, and the end."""
        finished = list(super().ending())
        chances = self._probabilities
        if chances and len(chances) != len(self._options):
            raise EngineError("the server weighed other options than these: ask again")
        if chances:
            yield Weighed(tuple(chances))
            yield TextDelta(self._options[chances.index(max(chances))].label)
        else:
            words = "".join(self._words).strip()
            yield from map(TextDelta, filter(None, [label_of(words, self._options) or words]))
        yield from finished
