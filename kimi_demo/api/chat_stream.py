"""A streamed answer: its events as chunks, in the order that OpenAI documents."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Literal

from kimi_demo.api.chat_reply import ChatReply, usage_of
from kimi_demo.api.history import new_id
from kimi_demo.api.streaming import on_thread
from kimi_demo.audio import Audio
from kimi_demo.events import AudioDelta, Event, Finished, HeardDelta, TextDelta, Weighed
from kimi_demo.wire.chat import AudioDeltaPart, ChatChunk, ChatUsage, ChunkChoice, Delta
from kimi_demo.wire.progress import progress_of

Chunks = list[ChatChunk]


async def chunks(
    events: AsyncGenerator[Event, None], reply: ChatReply
) -> AsyncGenerator[Chunks, None]:
    """For every event the chunks that tell it, often none. The first ones come with the first of
    the answer, so that what fails before has a status of its own; for those who asked for the
    progress, with that.
    """
    teller = _Teller(reply)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finished):  # its codes are kept in a file
                yield await on_thread(list, teller.tell(event))
            else:
                yield list(teller.tell(event))


class _Teller:
    """What was told so far decides what is told next."""

    def __init__(self, reply: ChatReply) -> None:
        options = reply.chat.stream_options
        self._reply = reply
        self._with_usage = bool(options and options.include_usage)
        self._with_progress = reply.chat.progress
        self._audio_id = new_id()
        self._begun = False
        self._text: list[str] = []
        self._probabilities: list[float] | None = None

    def tell(self, event: Event) -> Iterator[ChatChunk]:
        match event:
            case Weighed(probabilities):
                self._probabilities = list(probabilities)
            case HeardDelta(text):
                yield from self._begin()
                yield self._chunk(Delta(heard=text))
            case TextDelta(text):
                self._text.append(text)
                yield from self._begin()
                yield self._chunk(self._words(text))
            case AudioDelta() if self._reply.speaks:
                yield from self._begin()
                data = Audio(event.waveform, event.sample_rate).pcm16()
                yield self._sound(AudioDeltaPart(data=base64.b64encode(data).decode()))
            case Finished():
                yield from self._begin()
                yield from self._end(event)
            case _ if self._with_progress and (progress := progress_of(event)):
                chunk = self._told([])
                chunk.progress = progress
                yield chunk
            case _:
                pass

    def _begin(self) -> Iterator[ChatChunk]:
        if self._begun:
            return
        self._begun = True
        if self._reply.speaks:
            yield self._chunk(Delta(role="assistant"))
            yield self._sound(AudioDeltaPart(id=self._audio_id))
        else:
            yield self._chunk(Delta(role="assistant", content=""))

    def _end(self, finished: Finished) -> Iterator[ChatChunk]:
        if self._reply.speaks:
            kept = self._reply.kept(finished, "".join(self._text), self._audio_id)
            yield self._sound(AudioDeltaPart(expires_at=kept.expires_at))
        last = self._chunk(Delta(), self._reply.finish_reason(finished))
        if self._probabilities is not None:
            last.choice_probabilities = self._probabilities
        yield last
        if self._with_usage:
            yield self._told([], usage_of(finished))

    def _words(self, text: str) -> Delta:
        if self._reply.speaks:
            return Delta(audio=AudioDeltaPart(transcript=text))
        return Delta(content=text)

    def _sound(self, part: AudioDeltaPart) -> ChatChunk:
        return self._chunk(Delta(audio=part))

    def _chunk(
        self, delta: Delta, finish_reason: Literal["stop", "length"] | None = None
    ) -> ChatChunk:
        choice = ChunkChoice(index=0, delta=delta, finish_reason=finish_reason, logprobs=None)
        return self._told([choice])

    def _told(self, choices: list[ChunkChoice], usage: ChatUsage | None = None) -> ChatChunk:
        """All fields are set here, for what is not set is not sent."""
        chunk = ChatChunk(
            id=self._reply.id,
            object="chat.completion.chunk",
            created=self._reply.created,
            model=self._reply.chat.model,
            choices=choices,
        )
        if self._with_usage:
            chunk.usage = usage  # null in all but the last one
        return chunk
