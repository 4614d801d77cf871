"""One answer of a live conversation: what is asked of the engine, and what has come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kimi_demo.audio import OUTPUT_SAMPLE_RATE
from kimi_demo.errors import InputError
from kimi_demo.events import Event
from kimi_demo.intents import Ask, Chat
from kimi_demo.messages import AudioPart, Message, TextPart
from kimi_demo.realtime import told
from kimi_demo.realtime.items import (
    Item,
    ItemPart,
    Speech,
    Words,
    instructions_in,
    messages_of,
)
from kimi_demo.tasks import TaskTable
from kimi_demo.wire.realtime import ResponseConfig, SessionConfig


@dataclass
class Response:
    """An answer in work. held: it was begun in a pause, and nobody is told of it yet."""

    generation: int
    id: str
    item_id: str
    speaks: bool
    wanted: ResponseConfig
    asked_id: str | None = None  # of the spoken item that it answers
    held: list[Event] | None = None
    shown: bool = False  # its item stands in the conversation
    text: str = ""
    codes: tuple[int, ...] = ()
    audio_id: str = ""
    made_samples: int = 0
    sample_rate: int = OUTPUT_SAMPLE_RATE
    first_sound_ms: float | None = None
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def in_conversation(self) -> bool:
        return self.wanted.conversation == "auto"

    @property
    def made_ms(self) -> int:
        return self.made_samples * 1000 // self.sample_rate

    @property
    def ids(self) -> dict[str, Any]:
        return {
            "response_id": self.id,
            "item_id": self.item_id,
            "output_index": 0,
            "content_index": 0,
        }

    def part(self, complete: bool) -> ItemPart:
        if self.speaks:
            return Speech(self.text, self.codes, self.made_ms, complete, id=self.audio_id)
        return Words(self.text)

    def item(self, complete: bool) -> Item:
        """As the conversation keeps it."""
        status = "completed" if complete else "incomplete"
        return Item(self.item_id, "assistant", (self.part(complete),), status)

    def endings(self) -> Iterator[dict[str, Any]]:
        """The last events of its one content part."""
        words = {**self.ids, ("transcript" if self.speaks else "text"): self.text}
        if self.speaks:
            yield {"type": "response.output_audio.done", **self.ids}
            yield {"type": "response.output_audio_transcript.done", **words}
        else:
            yield {"type": "response.output_text.done", **words}
        part = told.part(self.speaks, self.text)
        yield {"type": "response.content_part.done", **self.ids, "part": part}

    def described(
        self, config: SessionConfig, status: str, why: Exception | str | None = None
    ) -> dict[str, Any]:
        """The answer as a client is told of it. why: what cut it off, or how it failed."""
        over = self.shown and status != "in_progress"
        output = [told.item(self.item(status == "completed"))] if over else []
        return told.response(self.id, status, why, output, config, self.wanted)


def intent_of(
    wanted: ResponseConfig,
    config: SessionConfig,
    items: list[Item],
    speaks: bool,
    tasks: TaskTable,
) -> Chat | Ask:
    """What an answer is asked with. Raises: InputError if there is nothing to answer."""
    own = config.instructions if wanted.instructions is None else wanted.instructions
    said = [instructions_in(items), own.strip()]
    messages = messages_of(items)
    if not messages or messages[-1].role != "user":
        if not own.strip():
            raise InputError(
                "there is nothing to answer: create an item of the user, or give instructions",
                code="nothing_to_answer",
            )
        messages = (*messages, Message("user", (TextPart(own.strip()),)))
    limit = wanted.max_output_tokens or config.max_output_tokens
    how: dict[str, Any] = {
        "instructions": "\n".join(filter(None, said)),
        "max_new_tokens": None if limit == "inf" else limit,
    }
    kinds = {type(part) for part in messages[-1].parts}
    if not speaks and kinds == {TextPart, AudioPart}:
        return Ask(messages, again=False, **how)
    if speaks and "both" not in tasks.reply_outputs:
        raise InputError("this model has not learned to speak its answers", "output_modalities")
    output = "both" if speaks or "text" not in tasks.reply_outputs else "text"
    return Chat(messages, output=output, **how)
