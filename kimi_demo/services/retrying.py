"""Answers about a sound, asked for a second time where the first ran on or repeated itself.

The released model does both now and then, in transcripts above all. Everything that wants such an
answer, page, commands or API, takes it from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import closing

from kimi_demo.engine.base import Engine
from kimi_demo.events import Event, FinishReason, Started, StartedOver
from kimi_demo.messages import Request
from kimi_demo.services.relay import Totals, relayed

RUNAWAY: frozenset[FinishReason] = frozenset({"length", "loop"})


def stream(engine: Engine, request: Request) -> Generator[Event, None, None]:
    """As `engine.stream`, for a request that the task table made about a sound.

    After a first answer that had to be ended comes StartedOver, which takes its text back, and the
    answer to the same question with the table's evaluation sampling. Finished counts what both
    took; its reason is that of the second one.
    """
    totals = Totals()
    first_events = engine.stream(request)
    with closing(first_events):
        yield from _until_started(first_events)
        ending = yield from relayed(first_events, totals)
    if ending.reason in RUNAWAY:
        yield StartedOver()
        again = dataclasses.replace(engine.capabilities.tasks.again(request), goes_on=True)
        ending = yield from relayed(engine.stream(again), totals)
        ending = dataclasses.replace(totals.finished(), reason=ending.reason)
    yield ending


def _until_started(events: Generator[Event, None, None]) -> Generator[Event, None, None]:
    """All up to and with Started; what follows stays in the stream."""
    for event in events:
        yield event
        if isinstance(event, Started):
            return
