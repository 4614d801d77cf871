"""Answers about a sound, asked for a second time where the first ran on or repeated itself.

The released model does both now and then, in transcripts above all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import closing

from kimi_demo.engine.tasks.turns import Sum, part_of, told
from kimi_demo.engine.turn import RunTurn, TurnRequest
from kimi_demo.events import Event, FinishReason, Started, StartedOver
from kimi_demo.tasks import TaskTable

RUNAWAY: frozenset[FinishReason] = frozenset({"length", "loop"})


def told_well(
    run_turn: RunTurn, turn: TurnRequest, tasks: TaskTable
) -> Generator[Event, None, None]:
    """As `told`, for a turn about a sound.

    After a first answer that had to be ended comes StartedOver, which takes its text back, and the
    answer to the same question with the table's evaluation sampling. Finished counts what both
    took; its reason is that of the second one.
    """
    total = Sum()
    first = told(run_turn, turn)
    with closing(first):
        yield from _until_started(first)
        ending = yield from part_of(first, total)
    if ending.reason in RUNAWAY:
        yield StartedOver()
        again = dataclasses.replace(turn, sampling=tasks.evaluation_sampling)
        ending = yield from part_of(told(run_turn, again), total)
        ending = total.finished(ending.reason)
    yield ending


def _until_started(events: Generator[Event, None, None]) -> Generator[Event, None, None]:
    """All up to and with Started; what follows stays in the stream."""
    for event in events:
        yield event
        if isinstance(event, Started):
            return
