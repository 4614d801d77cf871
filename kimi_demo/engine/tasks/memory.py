"""What of a conversation the model is told again with the next question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from kimi_demo.messages import CODES_PER_S, AudioPart, Message, Part, SpokenPart, TextPart
from kimi_demo.tasks import Memory


class Said(Protocol):
    """One message, whatever form it has."""

    @property
    def role(self) -> str: ...


S = TypeVar("S", bound=Said)


def exchanges(messages: Iterable[S]) -> list[tuple[S, ...]]:
    """Whole turns: each begins with what the user said first after an answer."""
    found: list[tuple[S, ...]] = []
    for message in messages:
        begins = message.role == "user" and (not found or found[-1][-1].role != "user")
        if begins or not found:
            found.append((message,))
        else:
            found[-1] = (*found[-1], message)
    return found


def remembered(
    history: Sequence[Message], asked: Sequence[Message], memory: Memory
) -> tuple[Message, ...]:
    """The newest whole turns of the history, as far as they fit beside the new question."""
    room_s = memory.seconds - seconds(asked)
    kept: tuple[Message, ...] = ()
    for exchange in reversed(newest(exchanges(history), memory.turns)):
        room_s -= seconds(exchange)
        if room_s < 0:
            break
        kept = (*exchange, *kept)
    return kept


def newest(turns: Sequence[tuple[S, ...]], count: int) -> Sequence[tuple[S, ...]]:
    return turns[max(0, len(turns) - count) :]


def seconds(messages: Iterable[Message]) -> float:
    """How long they last, written words at a position a character."""
    return sum(_part_seconds(part) for message in messages for part in message.parts)


def _part_seconds(part: Part) -> float:
    match part:
        case AudioPart(sound):
            return sound.duration_s
        case SpokenPart(codes, _):
            return len(codes) / CODES_PER_S
        case TextPart(text):
            return len(text) / CODES_PER_S
