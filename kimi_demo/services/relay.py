"""Several requests told as one: their deltas pass, their endings are added up."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from kimi_demo.engine.base import Engine
from kimi_demo.errors import EngineError
from kimi_demo.events import Event, Finished, Started, Timings
from kimi_demo.messages import Request


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
        """The ending of the whole."""
        endings = self._endings
        timings = Timings(
            self._first_text_s,
            self._first_audio_s,
            sum(ending.timings.total_s for ending in endings),
            sum(ending.timings.audio_s for ending in endings) + self._pauses_s,
        )
        return Finished(
            "length" if any(ending.reason == "length" for ending in endings) else "stop",
            sum(ending.prompt_tokens for ending in endings),
            sum(ending.text_tokens for ending in endings),
            sum(ending.audio_tokens for ending in endings),
            timings,
            tuple(code for ending in endings for code in ending.audio_codes),
        )


def relayed(engine: Engine, request: Request, totals: Totals) -> Generator[Event, None, None]:
    """The deltas of one request; its ending goes to the totals.

    Closing this closes the engine's stream. Raises: EngineError if the answer breaks off.
    """
    complete = False
    with closing(engine.stream(request)) as events:
        for event in events:
            match event:
                case Started():
                    pass
                case Finished():
                    totals.add(event)
                    complete = True
                case _:
                    yield event
    if not complete:
        raise EngineError("the answer broke off; send the request again")
