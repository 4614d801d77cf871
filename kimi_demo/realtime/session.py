"""A live conversation as a machine: events and milliseconds in, events and actions out.

It knows no socket, no thread and no clock. Every answer has a generation; what belongs to one that
was cut off is met with nothing, whenever it comes. Time is in milliseconds: of the sound that came
in where a detector tells it, of the caller's clock in `now_ms`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kimi_demo.audio import Audio
from kimi_demo.errors import InputError
from kimi_demo.events import AudioDelta, Event, Finished, HeardDelta, TextDelta
from kimi_demo.intents import Ask, Chat
from kimi_demo.realtime import told
from kimi_demo.realtime.buffer import SoundBuffer
from kimi_demo.realtime.items import Item, Items, Recording, Speech, part_of
from kimi_demo.realtime.responses import Response, intent_of
from kimi_demo.realtime.transcripts import Transcripts, Write
from kimi_demo.realtime.turns import Detection, Paused, Resumed, SpeechStarted, SpeechStopped
from kimi_demo.tasks import TaskTable
from kimi_demo.wire import realtime as wire
from kimi_demo.wire.realtime import (
    ClientEvent,
    ItemMessage,
    ItemReference,
    ResponseConfig,
    SemanticVad,
    ServerVad,
    SessionConfig,
)

MAX_RESPONSES = 4  # in work at once, those out of band included
LEAST_COMMIT_S = 0.1
LEAST_KEPT_MS = 500  # before the newest sound: the detector tells of speech a little late
SEMANTIC_PADDING_MS = 300

Phase = Literal["listening", "thinking", "speaking", "closed"]
CutReason = Literal["turn_detected", "client_cancelled"]


@dataclass(frozen=True)
class Begin:
    """An answer is wanted; its events come back with `take`, under this generation."""

    generation: int
    intent: Chat | Ask


@dataclass(frozen=True)
class Abandon:
    """Nobody wants this answer any more: its sound that still waits to be sent included."""

    generation: int


@dataclass(frozen=True, eq=False)
class Play:
    """A piece of an answer's sound, to be encoded and sent. ids: those of its event."""

    generation: int
    waveform: np.ndarray
    sample_rate: int
    ids: dict[str, Any]


Told = dict[str, Any]  # an event for the client, without its own id
Output = Told | Begin | Write | Abandon | Play


class Session:
    """One client's conversation.

    new_id: an id that begins with the given word and that nobody else has.
    """

    def __init__(
        self, config: SessionConfig, tasks: TaskTable, new_id: Callable[[str], str]
    ) -> None:
        self.config = config
        self.items = Items()
        self.closed = False
        self._tasks, self._new_id = tasks, new_id
        self._buffer = SoundBuffer(tasks.max_audio_s)
        self._generation = 0
        self._responses: dict[int, Response] = {}
        self._spoken_id: str | None = None  # of the item that somebody is speaking just now
        self._speech_ms = 0  # where it begins
        self._candidate: Response | None = None
        self._owed = False  # an answer, once the one in work has ended
        self._last_sound: tuple[str, float] | None = None  # item, and when its sound began
        self._quiet_since_ms: float | None = None
        self._transcripts = Transcripts(self.items)

    @property
    def phase(self) -> Phase:
        """What goes on, for a display."""
        if self.closed:
            return "closed"
        active = self._active()
        if active is None:
            return "listening"
        return "speaking" if active.made_samples else "thinking"

    @property
    def heard_ms(self) -> int:
        """How much sound was ever appended."""
        return self._buffer.end_ms

    # What clients and clocks say.

    def receive(self, event: ClientEvent, now_ms: float) -> list[Output]:
        """A client's event, but for sound, which comes decoded with `append`."""
        if self.closed:
            return []
        outputs: list[Output] = []
        try:
            for output in self._received(event, now_ms):
                outputs.append(output)  # what was done before a refusal is done
        except InputError as exc:
            outputs.append(told.error(exc, event.event_id))
        return outputs

    def append(self, samples: np.ndarray) -> list[Output]:
        """samples: (T,) float32 at 16 kHz. Call `detect` with what a detector finds in them."""
        if self.closed:
            return []
        turns = self.config.turns
        if turns and self._spoken_id is None:  # silence before; there may be speech in what is new
            self._buffer.forget_before(self._buffer.end_ms - _padding_ms(turns) - LEAST_KEPT_MS)
        try:
            self._buffer.append(samples)
        except InputError as exc:
            return [told.error(exc)]
        return []

    def detect(self, found: Detection, now_ms: float) -> list[Output]:
        """What the detector of turns found in the newest sound."""
        if self.closed or not self.config.turns:
            return []
        match found:
            case SpeechStarted(start_ms):
                return list(self._speech_started(start_ms, now_ms))
            case Paused(end_ms):
                return list(self._paused(end_ms))
            case Resumed():
                return list(self._candidate_dropped())
            case SpeechStopped(end_ms):
                return list(self._speech_stopped(end_ms, now_ms))

    def tick(self, now_ms: float) -> list[Output]:
        """Time goes by: a session may have something to say to a long silence."""
        turns = self.config.turns
        idle_ms = turns.idle_timeout_ms if isinstance(turns, ServerVad) else None
        since = self._quiet_since_ms
        if self.closed or not idle_ms or since is None or self._spoken_id or self._active():
            return []
        if now_ms < since + idle_ms:
            return []
        return list(self._timed_out(now_ms))

    def close(self) -> list[Output]:
        """Ends it; every answer in work is abandoned."""
        self.closed = True
        running = [*self._responses, *([self._candidate.generation] if self._candidate else [])]
        self._responses.clear()
        self._candidate = None
        return [Abandon(generation) for generation in running]

    # What the engine says.

    def take(self, generation: int, event: Event, now_ms: float) -> list[Output]:
        """An event of an answer; nothing comes of it once that was cut off."""
        if self._candidate and self._candidate.generation == generation:
            assert self._candidate.held is not None
            self._candidate.held.append(event)
            return []
        response = self._responses.get(generation)
        return list(self._answered(response, event, now_ms)) if response else []

    def fail(self, generation: int, exc: Exception, now_ms: float) -> list[Output]:
        """An answer broke off; an answer of before its question ended is asked for once more."""
        if self._candidate and self._candidate.generation == generation:
            self._candidate = None
            return []
        response = self._responses.get(generation)
        return list(self._ended(response, "failed", now_ms, exc)) if response else []

    def take_transcript(self, item_id: str, event: Event) -> list[Output]:
        """An event of a transcript."""
        return [] if self.closed else list(self._transcripts.take(item_id, event))

    def fail_transcript(self, item_id: str, exc: Exception) -> list[Output]:
        """A transcript broke off."""
        return [] if self.closed else [told.transcript_failed(item_id, exc)]

    # Client events.

    def _received(self, event: ClientEvent, now_ms: float) -> Iterator[Output]:
        match event:
            case wire.SessionUpdate(session=patch):
                yield from self._updated(patch)
            case wire.BufferCommit():
                yield from self._committed_by_hand()
            case wire.BufferClear():
                yield from self._candidate_dropped()
                self._buffer.clear()
                self._spoken_id = None
                yield {"type": "input_audio_buffer.cleared"}
            case wire.ItemCreate():
                yield from self._item_created(event)
            case wire.ItemDelete(item_id=id_):
                yield from self._item_deleted(id_, now_ms)
            case wire.ItemRetrieve(item_id=id_):
                item = told.item(self.items.find(id_), with_sound=True)
                yield {"type": "conversation.item.retrieved", "item": item}
            case wire.ItemTruncate(item_id=id_, audio_end_ms=end_ms):
                yield from self._truncated(id_, end_ms, now_ms)
            case wire.ResponseCreate(response=wanted):
                yield from self._response_created(wanted)
            case wire.ResponseCancel(response_id=id_):
                yield from self._cancelled(id_, now_ms)
            case wire.OutputClear():
                raise InputError("output_audio_buffer.clear is for WebRTC alone: truncate instead")
            case wire.BufferAppend():
                raise AssertionError("sound comes with append")

    def _updated(self, patch: dict[str, Any]) -> Iterator[Output]:
        config = self.config.updated(patch)
        if self._last_sound and config.audio.output.voice != self.config.audio.output.voice:
            raise InputError("the voice cannot change once it was heard", "session.audio.output")
        if config.turns is None:
            yield from self._candidate_dropped()
            self._spoken_id = None
        self.config = config
        yield {"type": "session.updated"}

    def _committed_by_hand(self) -> Iterator[Output]:
        sound = self._buffer.all()
        if sound.duration_s < LEAST_COMMIT_S:
            least = round(LEAST_COMMIT_S * 1000)
            raise InputError(
                f"the buffer holds less than {least} ms of sound: append more before a commit",
                code="input_audio_buffer_commit_empty",
            )
        yield from self._candidate_dropped()
        id_ = self._spoken_id or self._new_id("item")
        self._spoken_id = None
        self._buffer.clear()
        yield from self._committed(id_, sound)
        yield from self._transcripts.want(id_, self.config.audio.input.transcription, False)

    def _item_created(self, event: wire.ItemCreate) -> Iterator[Output]:
        item = self._item_of(event.item)
        before = self.items.add(item, event.previous_item_id)
        yield from self._item_shown(item, before)

    def _item_shown(self, item: Item, before: str | None) -> Iterator[Output]:
        for name in ("added", "done"):
            yield told.item_event(f"conversation.item.{name}", item, before)
        for gone in self.items.surplus():
            yield {"type": "conversation.item.deleted", "item_id": gone}

    def _item_of(self, sent: ItemMessage) -> Item:
        parts = tuple(part_of(content, sent.role) for content in sent.content)
        return Item(sent.id or self._new_id("item"), sent.role, parts)

    def _item_deleted(self, id_: str, now_ms: float) -> Iterator[Output]:
        self.items.find(id_)
        for response in [r for r in self._responses.values() if r.item_id == id_]:
            yield from self._cut(response, "client_cancelled", now_ms)
        self.items.remove(id_)
        yield {"type": "conversation.item.deleted", "item_id": id_}

    def _truncated(self, id_: str, end_ms: int, now_ms: float) -> Iterator[Output]:
        part = self.items.find(id_).parts[0]
        for response in [r for r in self._responses.values() if r.item_id == id_]:
            if end_ms > response.made_ms:
                raise _too_long(end_ms, response.made_ms)
            yield from self._cut(response, "client_cancelled", now_ms)
            part = self.items.find(id_).parts[0]
        if not isinstance(part, Speech):
            raise InputError("only what was spoken can be truncated", "item_id")
        if end_ms > part.made_ms:
            raise _too_long(end_ms, part.made_ms)
        self._heard_until(id_, end_ms)
        self._last_sound = None
        yield {
            "type": "conversation.item.truncated",
            "item_id": id_,
            "content_index": 0,
            "audio_end_ms": end_ms,
        }

    def _response_created(self, wanted: ResponseConfig) -> Iterator[Output]:
        if wanted.conversation == "auto" and self._active():
            raise InputError(
                "an answer is in work: cancel it first, or wait for response.done",
                code="conversation_already_has_active_response",
            )
        if len(self._responses) >= MAX_RESPONSES:
            raise InputError(
                f"{MAX_RESPONSES} answers are in work: wait for a response.done",
                code="too_many_responses",
            )
        yield from self._candidate_dropped()
        response, begin = self._asked(wanted, self._told_items(wanted))
        yield from self._response_shown(response)
        yield begin

    def _told_items(self, wanted: ResponseConfig) -> list[Item]:
        """The conversation, or what the response is to be about instead."""
        if wanted.input is None:
            return list(self.items)
        return [
            self.items.find(sent.id) if isinstance(sent, ItemReference) else self._item_of(sent)
            for sent in wanted.input
        ]

    def _cancelled(self, id_: str | None, now_ms: float) -> Iterator[Output]:
        running = [r for r in self._responses.values() if id_ in (None, r.id)]
        if not running:
            raise InputError("no such answer is in work", code="response_cancel_not_active")
        for response in running if id_ else running[-1:]:
            yield from self._cut(response, "client_cancelled", now_ms)

    # Turns of the user.

    def _speech_started(self, start_ms: int, now_ms: float) -> Iterator[Output]:
        turns = self.config.turns
        assert turns
        self._speech_ms = max(self._buffer.start_ms, start_ms - _padding_ms(turns))
        self._spoken_id = self._new_id("item")
        self._quiet_since_ms = None
        active = self._active()
        if active and turns.interrupt_response:
            yield from self._cut(active, "turn_detected", now_ms)
        self._bound_last_sound(now_ms)
        yield {
            "type": "input_audio_buffer.speech_started",
            "audio_start_ms": self._speech_ms,
            "item_id": self._spoken_id,
        }

    def _paused(self, end_ms: int) -> Iterator[Output]:
        """The answer is begun before it is certain that the turn is over."""
        turns = self.config.turns
        if not (turns and turns.create_response and self._spoken_id) or self._active():
            return
        sound = self._buffer.between(self._speech_ms, end_ms)
        item = Item(self._spoken_id, "user", (Recording(sound),))
        try:
            response, begin = self._asked(ResponseConfig(), [*self.items, item], held=True)
        except InputError:
            return  # it will be told when the turn is over
        self._candidate = response
        yield begin

    def _candidate_dropped(self) -> Iterator[Output]:
        candidate, self._candidate = self._candidate, None
        if candidate:
            yield Abandon(candidate.generation)

    def _speech_stopped(self, end_ms: int, now_ms: float) -> Iterator[Output]:
        id_, self._spoken_id = self._spoken_id, None
        turns = self.config.turns
        if id_ is None or turns is None:
            return  # cleared or committed meanwhile
        stopped = {"audio_end_ms": end_ms, "item_id": id_}
        yield {"type": "input_audio_buffer.speech_stopped", **stopped}
        sound = self._buffer.between(self._speech_ms, end_ms)
        self._buffer.forget_before(end_ms)
        yield from self._committed(id_, sound)
        how = self.config.audio.input.transcription
        yield from self._transcripts.want(id_, how, turns.create_response)
        if turns.create_response:
            yield from self._answer_due(now_ms)

    def _answer_due(self, now_ms: float) -> Iterator[Output]:
        """The answer that was begun in the pause, or a new one; or later, if one is in work."""
        candidate, self._candidate = self._candidate, None
        if candidate:
            self._responses[candidate.generation] = candidate
            held, candidate.held = candidate.held or [], None
            yield from self._response_shown(candidate)
            for event in held:
                yield from self.take(candidate.generation, event, now_ms)
        elif self._active():
            self._owed = True
        else:
            try:
                yield from self._response_created(ResponseConfig())
            except InputError as exc:
                yield told.error(exc)

    def _committed(self, id_: str, sound: Audio) -> Iterator[Output]:
        item = Item(id_, "user", (Recording(sound),))
        before = self.items.add(item)
        committed = {"type": "input_audio_buffer.committed", "item_id": id_}
        yield {**committed, "previous_item_id": before}
        yield from self._item_shown(item, before)

    def _timed_out(self, now_ms: float) -> Iterator[Output]:
        """Nobody has said anything for long: the model may."""
        self._quiet_since_ms = None
        sound, start_ms = self._buffer.all(), self._buffer.start_ms
        end_ms = self._buffer.end_ms
        id_ = self._new_id("item")
        span = {"audio_start_ms": start_ms, "audio_end_ms": end_ms, "item_id": id_}
        yield {"type": "input_audio_buffer.timeout_triggered", **span}
        if sound.duration_s >= LEAST_COMMIT_S:
            self._buffer.forget_before(end_ms)
            yield from self._committed(id_, sound)
        yield from self._answer_due(now_ms)

    # Answers.

    def _active(self) -> Response | None:
        """The answer of the conversation that is in work."""
        return next((r for r in self._responses.values() if r.in_conversation), None)

    def _asked(
        self, wanted: ResponseConfig, items: list[Item], held: bool = False
    ) -> tuple[Response, Begin]:
        """Raises: InputError if there is nothing to answer."""
        self._generation += 1
        speaks = "audio" in (wanted.output_modalities or self.config.output_modalities)
        intent = intent_of(wanted, self.config, items, speaks, self._tasks)
        speaks = speaks and isinstance(intent, Chat)
        response = Response(
            self._generation, self._new_id("resp"), self._new_id("item"), speaks, wanted
        )
        response.asked_id = next((i.id for i in reversed(items) if i.role == "user"), None)
        if held:
            response.held = []
        else:
            self._responses[response.generation] = response
        return response, Begin(response.generation, intent)

    def _response_shown(self, response: Response) -> Iterator[Output]:
        yield {
            "type": "response.created",
            "response": response.described(self.config, "in_progress"),
        }

    def _answered(self, response: Response, event: Event, now_ms: float) -> Iterator[Output]:
        match event:
            case HeardDelta(text):
                yield from self._transcripts.overheard(response.asked_id, text)
            case TextDelta(text):
                yield from self._shown(response)
                response.text += text
                kind = "output_audio_transcript" if response.speaks else "output_text"
                yield {"type": f"response.{kind}.delta", **response.ids, "delta": text}
            case AudioDelta() if response.speaks:
                yield from self._shown(response)
                yield from self._sounded(response, event, now_ms)
            case Finished():
                yield from self._shown(response)
                if event.audio_codes and response.speaks:
                    response.codes = event.audio_codes
                response.audio_id = event.audio_id
                response.usage = told.usage(event)
                status = "incomplete" if event.reason == "length" else "completed"
                yield from self._ended(response, status, now_ms)
            case _:
                pass

    def _sounded(self, response: Response, event: AudioDelta, now_ms: float) -> Iterator[Output]:
        if response.first_sound_ms is None:
            response.first_sound_ms = now_ms
            if response.in_conversation:
                self._last_sound = response.item_id, now_ms
        response.sample_rate = event.sample_rate
        response.made_samples += len(event.waveform)
        response.codes += event.codes
        yield Play(response.generation, event.waveform, event.sample_rate, response.ids)

    def _shown(self, response: Response) -> Iterator[Output]:
        """The answer's item appears with its first words or sound."""
        if response.shown:
            return
        response.shown = True
        yield from self._transcripts.all_overheard(response.asked_id)
        empty = Item(response.item_id, "assistant", (), "in_progress")
        yield told.output_item("added", response.id, empty)
        if response.in_conversation:
            before = self.items.add(dataclasses.replace(empty, parts=(response.part(False),)))
            yield told.item_event("conversation.item.added", empty, before)
        part = told.part(response.speaks)
        yield {"type": "response.content_part.added", **response.ids, "part": part}

    def _ended(
        self, response: Response, status: str, now_ms: float, why: Exception | str | None = None
    ) -> Iterator[Output]:
        """Tells all endings of an answer, once."""
        del self._responses[response.generation]
        yield from self._transcripts.all_overheard(response.asked_id)
        complete = status == "completed"
        if response.shown:
            yield from self._item_ended(response, complete)
        usage = response.usage or told.usage(Finished("stop", 0, 0, len(response.codes)))
        value = response.described(self.config, status, why) | {"usage": usage}
        yield {"type": "response.done", "response": value}
        if not response.in_conversation:
            return
        left_ms = 0.0
        if response.first_sound_ms is not None:
            left_ms = max(0.0, response.first_sound_ms + response.made_ms - now_ms)
        self._quiet_since_ms = None if self._spoken_id else now_ms + left_ms
        if self._owed:
            self._owed = False
            yield from self._answer_due(now_ms)

    def _item_ended(self, response: Response, complete: bool) -> Iterator[Output]:
        yield from response.endings()
        item = response.item(complete)
        yield told.output_item("done", response.id, item)
        if response.in_conversation and self.items.has(item.id):
            self.items.replace(item)
            yield told.item_event("conversation.item.done", item, self.items.before(item.id))

    def _cut(self, response: Response, reason: CutReason, now_ms: float) -> Iterator[Output]:
        """Ends an answer in its middle: nothing more of it is sent."""
        yield Abandon(response.generation)
        self._owed = False
        yield from self._ended(response, "cancelled", now_ms, reason)
        self._bound_last_sound(now_ms)

    def _bound_last_sound(self, now_ms: float) -> None:
        """Nobody can have heard more than there was time for."""
        if self._last_sound:
            id_, began_ms = self._last_sound
            if self.items.has(id_):
                self._heard_until(id_, int(max(0.0, now_ms - began_ms)))

    def _heard_until(self, id_: str, ms: int) -> None:
        item = self.items.find(id_)
        parts = tuple(p.heard_until(ms) if isinstance(p, Speech) else p for p in item.parts)
        self.items.replace(dataclasses.replace(item, parts=parts))


def _padding_ms(turns: ServerVad | SemanticVad) -> int:
    return turns.prefix_padding_ms if isinstance(turns, ServerVad) else SEMANTIC_PADDING_MS


def _too_long(end_ms: int, made_ms: int) -> InputError:
    return InputError(
        f"audio_end_ms is {end_ms}, but only {made_ms} ms of it were made", "audio_end_ms"
    )
