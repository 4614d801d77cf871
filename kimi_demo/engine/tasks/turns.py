"""Turns of the model told as one answer: their deltas pass, their endings are added up."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable
from contextlib import closing

from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.errors import EngineError
from kimi_demo.events import Event, Finished, FinishReason, Started, StartedOver, Stepped
from kimi_demo.messages import CODES_PER_S, AudioPart, Message, Part, SpokenPart, TextPart


class Sum:
    """What several turns used, those that were broken off among them."""

    def __init__(self) -> None:
        self._endings: list[Finished] = []
        self._taken_back: list[Finished] = []  # by those who tell only one ending for two turns
        self._now = Finished("stop", 0, 0, 0)  # of the turn in work

    def take(self, event: Event) -> None:
        match event:
            case Started(prompt_tokens):
                self._now = Finished("stop", prompt_tokens, 0, 0)
            case Stepped(text, audio):
                prompt = self._now.prompt_tokens
                self._now = Finished("stop", prompt, text, audio)
            case StartedOver():
                self._taken_back.append(self._now)
                self._now = Finished("stop", 0, 0, 0)
            case Finished():
                self._endings.append(event)
                self._taken_back.clear()
                self._now = Finished("stop", 0, 0, 0)
            case _:
                pass

    def finished(self, reason: FinishReason | None = None) -> Finished:
        """The ending of the whole; its reason is that of the first turn that did not simply stop,
        if none is given."""
        found = [*self._endings, *self._taken_back, self._now]
        unusual: list[FinishReason] = [f.reason for f in found if f.reason != "stop"]
        return Finished(
            reason or (unusual[0] if unusual else "stop"),
            sum(f.prompt_tokens for f in found),
            sum(f.text_tokens for f in found),
            sum(f.audio_tokens for f in found),
            audio_codes=tuple(code for f in found for code in f.audio_codes),
            heard_tokens=sum(f.heard_tokens for f in found),
        )


def told(run_turn: RunTurn, turn: TurnRequest) -> Generator[Event, None, None]:
    """One turn of the model; its ending says how much of the prompt was sound.

    Raises: EngineError if it breaks off.
    """
    heard, over = heard_tokens(turn.messages), False
    with closing(run_turn(turn)) as events:
        for event in events:
            if isinstance(event, Finished):
                event, over = (
                    dataclasses.replace(event, heard_tokens=min(heard, event.prompt_tokens)),
                    True,
                )
            yield event
    if not over:
        raise EngineError("the answer broke off; send the request again")


def part_of(events: Generator[Event, None, None], total: Sum) -> Generator[Event, None, Finished]:
    """The deltas of one turn of several; its ending goes to the sum, and is returned.

    Closing this closes the turn.
    """
    ending = Finished("stop", 0, 0, 0)
    with closing(events):
        for event in events:
            total.take(event)
            match event:
                case Started():
                    pass
                case Finished():
                    ending = event
                case _:
                    yield event
    return ending


def heard_tokens(messages: Iterable[Message]) -> int:
    """Positions of a prompt that hold codes, heard or said before."""
    return sum(_codes(part) for message in messages for part in message.parts)


def _codes(part: Part) -> int:
    match part:
        case AudioPart(sound):
            return round(sound.duration_s * CODES_PER_S)
        case SpokenPart(codes, _):
            return len(codes)
        case TextPart():
            return 0
