"""Several requests told as one: their deltas pass, their endings are added up."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

from kimi_demo.errors import EngineError
from kimi_demo.events import Finished, Started, Timings

Told = TypeVar("Told")  # events of an engine, or of a service that adds some of its own


class Totals:
    """The sum of what several requests used; times count from the start of the first."""

    def __init__(self) -> None:
        self._endings: list[Finished] = []
        self._pauses_s = 0.0
        self._first_text_s: float | None = None
        self._first_audio_s: float | None = None

    def add(self, finished: Finished) -> None:
        """One more request is done."""
        before_s = sum(ending.timings.total_s for ending in self._endings)
        timings = finished.timings
        if self._first_text_s is None and timings.first_text_s is not None:
            self._first_text_s = before_s + timings.first_text_s
        if self._first_audio_s is None and timings.first_audio_s is not None:
            self._first_audio_s = before_s + timings.first_audio_s
        self._endings.append(finished)

    def add_pause(self, seconds: float) -> None:
        """Silence that was put between two answers."""
        self._pauses_s += seconds

    def finished(self) -> Finished:
        """The ending of the whole; its reason is that of the first which did not simply stop."""
        endings = self._endings
        timings = Timings(
            self._first_text_s,
            self._first_audio_s,
            sum(ending.timings.total_s for ending in endings),
            sum(ending.timings.audio_s for ending in endings) + self._pauses_s,
        )
        return Finished(
            next((ending.reason for ending in endings if ending.reason != "stop"), "stop"),
            sum(ending.prompt_tokens for ending in endings),
            sum(ending.text_tokens for ending in endings),
            sum(ending.audio_tokens for ending in endings),
            timings,
            tuple(code for ending in endings for code in ending.audio_codes),
        )


def relayed(events: Generator[Told, None, None], totals: Totals) -> Generator[Told, None, Finished]:
    """The deltas of one answer; its ending goes to the totals, and is returned.

    Closing this closes the stream. Raises: EngineError if the answer breaks off.
    """
    ending: Finished | None = None
    with closing(events):
        for event in events:
            match event:
                case Started():
                    pass
                case Finished():
                    ending = event
                case _:
                    yield event
    if ending is None:
        raise EngineError("the answer broke off; send the request again")
    totals.add(ending)
    return ending
