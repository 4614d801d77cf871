"""What was said in a live conversation, item by item, and what the model is told of it."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Literal

import numpy as np

from kimi_demo.audio import INPUT_SAMPLE_RATE, OUTPUT_SAMPLE_RATE, Audio
from kimi_demo.errors import InputError
from kimi_demo.messages import CODES_PER_S, AudioPart, Message, Part, SpokenPart, TextPart
from kimi_demo.text.languages import spoken_language
from kimi_demo.wire.realtime import Content

MAX_ITEMS = 400
MAX_SOUND_S = 600.0  # of all recordings; 64 kB each second
CHARS_PER_S = {"en": 15.0, "zh": 5.0}  # of speech, about

ItemRole = Literal["user", "assistant", "system"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


@dataclass(frozen=True)
class Words:
    """Typed or written."""

    text: str


@dataclass(frozen=True)
class Recording:
    """What the user said. transcript: as it was heard, empty until then."""

    sound: Audio
    transcript: str = ""


@dataclass(frozen=True)
class Speech:
    """What the model said. text, made: words and codes that were made. made_ms: how much of their
    sound was sent. complete: whether it came to its end. heard_ms: of the sound, as far as anybody
    knows; the rest is out of the history, and so are its words. id: what stands for the codes where
    they stay with a server.
    """

    text: str
    made: tuple[int, ...] = ()
    made_ms: int = 0
    complete: bool = True
    heard_ms: int | None = None
    id: str = ""

    @property
    def codes(self) -> tuple[int, ...]:
        if self.heard_ms is None:
            return self.made
        return self.made[: int(self.heard_ms * CODES_PER_S / 1000)]

    @property
    def transcript(self) -> str:
        """The words that were heard, by their share of the speech."""
        if self.heard_ms is None and self.complete:
            return self.text
        heard_ms = self.made_ms if self.heard_ms is None else self.heard_ms
        share = heard_ms / max(1, self.made_ms)
        if not self.complete:  # more was to come than was made
            pace = CHARS_PER_S.get(spoken_language(self.text), CHARS_PER_S["en"])
            share = min(share, heard_ms / 1000 * pace / max(1, len(self.text)))
        return _first_words(self.text, int(share * len(self.text)))

    def heard_until(self, ms: int) -> Speech:
        """Heard no further than that; ms beyond all change nothing."""
        known = self.made_ms if self.heard_ms is None else self.heard_ms
        return self if ms >= known else dataclasses.replace(self, heard_ms=ms)

    def told_again(self) -> Part | None:
        """As the history has it; None if nothing was heard."""
        if self.codes:
            return SpokenPart(self.codes, self.transcript)
        if self.id and self.heard_ms is None:
            return SpokenPart((), self.text, self.id)
        words = "" if self.made else self.transcript
        return TextPart(words) if words.strip() and (self.complete or self.made_ms) else None


ItemPart = Words | Recording | Speech


@dataclass(frozen=True)
class Item:
    """One message of the conversation."""

    id: str
    role: ItemRole
    parts: tuple[ItemPart, ...]
    status: ItemStatus = "completed"


class Items:
    """All items in their order; the oldest are forgotten beyond a limit."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    def find(self, id_: str) -> Item:
        """Raises: InputError if there is none."""
        return self._items[self._place(id_)]

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Puts an item at the end, or after another ("root": before all); gives the id before it.

        Raises: InputError if that is not there, or the new one's id is.
        """
        if any(known.id == item.id for known in self._items):
            raise InputError(f"there is an item {item.id!r} already", "item.id", "item_exists")
        place = len(self._items)
        if after == "root":
            place = 0
        elif after is not None:
            place = self._place(after, "previous_item_id") + 1
        self._items.insert(place, item)
        return self.before(item.id)

    def before(self, id_: str) -> str | None:
        """The id before this one's."""
        place = self._place(id_)
        return self._items[place - 1].id if place else None

    def surplus(self) -> list[str]:
        """Ids of the oldest, where there are too many, or too much sound; they are gone."""
        sound_s = accumulate(_sound_s(item) for item in reversed(self._items))
        fitting = sum(seconds <= MAX_SOUND_S for seconds in sound_s)
        kept = min(MAX_ITEMS, fitting)
        gone, self._items = self._items[:-kept], self._items[-kept:]
        return [item.id for item in gone]

    def replace(self, item: Item) -> None:
        """Another value for the item of this id."""
        self._items[self._place(item.id)] = item

    def remove(self, id_: str) -> None:
        """Raises: InputError if there is none."""
        del self._items[self._place(id_)]

    def has(self, id_: str) -> bool:
        return any(item.id == id_ for item in self._items)

    def _place(self, id_: str, param: str = "item_id") -> int:
        for place, item in enumerate(self._items):
            if item.id == id_:
                return place
        raise InputError(f"there is no item {id_!r} in this conversation", param, "item_not_found")


def _sound_s(item: Item) -> float:
    return sum(part.sound.duration_s for part in item.parts if isinstance(part, Recording))


def part_of(content: Content, role: str) -> ItemPart:
    """What a client says that somebody has said."""
    if content.type == "input_audio" and role == "user":
        return Recording(_sound(content.audio or ""), content.transcript or "")
    text = content.text if content.text is not None else content.transcript
    allowed = {"user": ("input_text",), "system": ("input_text",)}.get(
        role, ("output_text", "output_audio", "text", "audio")
    )
    if content.type not in allowed or text is None:
        raise InputError(
            f"an item of the {role} has no content of type {content.type!r} that can be read here",
            "item.content",
            "invalid_value",
        )
    return Words(text)


def _sound(data: str) -> Audio:
    """Raises: InputError."""
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError as exc:
        raise InputError("item.content.audio is not in base64", "item.content.audio") from exc
    if not raw or len(raw) % 2:
        raise InputError("item.content.audio is no PCM of 16 bits", "item.content.audio")
    samples = np.frombuffer(raw, "<i2").astype(np.float32) / 32768
    return Audio(samples, OUTPUT_SAMPLE_RATE).resampled(INPUT_SAMPLE_RATE)


def messages_of(items: Iterable[Item]) -> tuple[Message, ...]:
    """What the model is told: neighbours of one role are one turn; what says nothing is left out,
    and so is an answer before the first question."""
    told = [(item.role, _parts(item)) for item in items if item.role != "system"]
    turns = groupby((row for row in told if row[1]), key=lambda row: row[0])
    messages = [
        Message("user" if role == "user" else "assistant", tuple(p for _, ps in rows for p in ps))
        for role, rows in turns
    ]
    return tuple(messages[1:] if messages and messages[0].role == "assistant" else messages)


def instructions_in(items: Iterable[Item]) -> str:
    """What system items say."""
    return "\n".join(
        part.text
        for item in items
        if item.role == "system"
        for part in item.parts
        if isinstance(part, Words) and part.text.strip()
    )


def _parts(item: Item) -> tuple[Part, ...]:
    found: list[Part] = []
    for part in item.parts:
        match part:
            case Words(text) if text.strip():
                found.append(TextPart(text))
            case Recording(sound):
                found.append(AudioPart(sound))
            case Speech():
                found += filter(None, [part.told_again()])
            case _:
                pass
    return tuple(found)


def _first_words(text: str, chars: int) -> str:
    """So much of a text, to the end of a word that is whole."""
    if chars >= len(text):
        return text
    cut = text[:chars]
    if text[chars].isascii() and text[chars].isalnum() and cut[-1:].isascii():
        cut = cut.rpartition(" ")[0]
    return cut.rstrip()
