"""One step loop over slots: every turn of the model that is under way takes each step together.

A thread of its own runs it. A step takes leavers out, lets newcomers in and reads a piece of one
prompt, then draws the next ids of all rows and feeds them in one batch. What a row gets does not
depend on its company.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from kimi_demo.engine import heap
from kimi_demo.errors import EngineError
from kimi_demo.model.generation import Step, Turn, advance
from kimi_demo.model.language_model import PREFILL_POSITIONS, Feed, LanguageModel, Logits
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.weighing import Weighing

IDLE_S = 2.0  # without a turn, after which freed memory goes back to the system

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """Where a turn's steps go. It is called by the scheduler's thread and returns at once."""

    def step(self, step: Step | None) -> None:
        """One step was done; None where it brings no ids (a prompt is read, options weighed)."""
        ...

    def end(self, failure: BaseException | None) -> None:
        """The turn is over; failure says why if it broke off."""
        ...


@dataclass(eq=False)
class Row:
    """A turn and its place in the cache."""

    prompt: PromptStreams
    turn: Turn | Weighing
    reader: Reader
    slot: int = -1
    read: int = 0  # positions of the prompt that are in the cache
    text: Tensor | None = None  # logits (V,) of the next ids
    audio: Tensor | None = None
    cancelled: bool = False

    @property
    def is_over(self) -> bool:
        turn = self.turn
        return turn.finished if isinstance(turn, Weighing) else turn.finish_reason is not None

    @property
    def is_read(self) -> bool:
        return self.read == len(self.prompt)


@dataclass
class Kept:
    """A free slot, and the prompt that its cells still hold. speaks: in the audio branch, too."""

    slot: int
    prompt: PromptStreams = field(default_factory=PromptStreams)
    read: int = 0
    speaks: bool = False


class Scheduler:
    """Runs turns on one model. Thread-safe; `close` breaks off what is under way."""

    def __init__(self, model: LanguageModel, slots: int, fill: float = 0.0) -> None:
        """fill: see `SlotCache`."""
        self._model = model
        self._cache = model.new_cache(slots, fill=fill)
        self._free = [Kept(slot) for slot in range(slots)]
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    @property
    def capacity(self) -> int:
        """Positions of a slot."""
        return self._cache.capacity

    def submit(self, prompt: PromptStreams, turn: Turn | Weighing, reader: Reader) -> Row:
        """Queues a turn; it begins as soon as a slot is free. Raises: EngineError once closed."""
        row = Row(prompt, turn, reader)
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed: start the app again")
            self._waiting.append(row)
            self._changed.notify()
        return row

    def cancel(self, row: Row) -> None:
        """Takes a turn out at the next step; its reader is told nothing more."""
        with self._changed:
            row.cancelled = True
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread after the step in work."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def check_integrity(self) -> None:
        """Every slot belongs to exactly one row or to nobody."""
        owned = [row.slot for row in self._rows] + [kept.slot for kept in self._free]
        assert sorted(owned) == list(range(self._cache.num_slots)), owned

    def _run(self) -> None:
        while self._wait_for_work():
            self._guarded(self._step, list(self._rows))
        for row in (*self._rows, *self._waiting):
            if not row.cancelled:
                row.reader.end(EngineError("the engine was closed: start the app again"))

    def _wait_for_work(self) -> bool:
        """Lets leavers out and newcomers in; sleeps while there is neither. False once closed."""
        patience: float | None = IDLE_S
        with self._changed:
            while True:
                self._leave()
                self._admit()
                if self._closed or self._rows:
                    return not self._closed
                self.check_integrity()
                if not self._changed.wait(patience):
                    heap.trim()
                    patience = None  # until the next turn has come and gone

    def _leave(self) -> None:
        for row in [row for row in self._rows if row.cancelled]:
            self._release(row)
        self._waiting = deque(row for row in self._waiting if not row.cancelled)

    def _admit(self) -> None:
        while self._waiting and self._free:
            row = self._waiting.popleft()
            if row.is_over:  # no step was granted
                row.reader.end(None)
                continue
            kept = self._slot_for(row)
            self._free.remove(kept)
            row.slot, row.read = kept.slot, _common(kept, row)
            self._rows.append(row)

    def _slot_for(self, row: Row) -> Kept:
        """The slot of whom this turn goes on with; else the one that nobody wanted for longest."""
        alike = max(self._free, key=lambda kept: _common(kept, row))
        return alike if 2 * _common(alike, row) > alike.read > 0 else self._free[0]

    def _release(self, row: Row) -> None:
        """Frees the slot, as the one to be taken last; its prompt stays for who goes on with it."""
        self._rows.remove(row)
        self._free.append(Kept(row.slot, row.prompt, row.read, row.turn.speaks))

    def _step(self) -> None:
        """One step of everybody: a piece of one prompt, then ids for all whose prompt is read."""
        reading = next((row for row in self._rows if not row.is_read), None)
        if reading:
            self._read(reading)
        self._draw([row for row in self._rows if row.is_read])
        for row in [row for row in self._rows if row.is_over]:
            self._release(row)
            row.reader.end(None)
        self._decode([row for row in self._rows if row.is_read])

    def _read(self, row: Row) -> None:
        span = range(row.read, min(row.read + PREFILL_POSITIONS, len(row.prompt)))
        logits = self._model.prefill(
            row.prompt, self._cache, row.slot, span, speaks=row.turn.speaks
        )
        row.read = span.stop
        if row.is_read:
            assert logits.text is not None
            row.text = logits.text[0]
            row.audio = None if logits.audio is None else logits.audio[0]
        else:
            row.reader.step(None)

    @torch.inference_mode()
    def _draw(self, rows: list[Row]) -> None:
        generating = [row for row in rows if isinstance(row.turn, Turn)]
        if generating:
            turns = [row.turn for row in generating if isinstance(row.turn, Turn)]
            steps = advance(self._model, turns, _stacked(generating))
            for row, step in zip(generating, steps, strict=True):
                row.reader.step(step)
        for row in rows:
            if isinstance(row.turn, Weighing):
                assert row.text is not None
                row.turn.accept(row.text)
                row.reader.step(None)

    def _decode(self, rows: list[Row]) -> None:
        if not rows:
            return
        logits = self._model.decode([_feed(row) for row in rows], self._cache)
        texts = iter(logits.text if logits.text is not None else ())
        audios = iter(logits.audio if logits.audio is not None else ())
        for row in rows:
            row.text = next(texts) if row.turn.writes else None
            row.audio = next(audios) if row.turn.speaks else None

    def _guarded(self, work: Callable[[], None], rows: list[Row]) -> None:
        """What goes wrong in a step ends the rows that took part in it, and nothing else."""
        try:
            work()
        except BaseException as exc:
            logger.exception("a step failed")
            with self._changed:
                for row in [row for row in rows if row in self._rows]:
                    row.read = 0
                    self._release(row)
                    row.reader.end(exc)


def _common(kept: Kept, row: Row) -> int:
    """Positions at the beginning of the row's prompt that the slot holds already; never all of
    them, for the last one's logits are wanted.
    """
    if row.turn.speaks and not kept.speaks:
        return 0
    return min(kept.read, kept.prompt.common_positions(row.prompt), len(row.prompt) - 1)


def _stacked(rows: list[Row]) -> Logits:
    """The rows' logits as one batch of each stream."""
    texts = [row.text for row in rows if row.turn.writes]
    audios = [row.audio for row in rows if row.turn.speaks]
    return Logits(
        torch.stack([logits for logits in texts if logits is not None]) if texts else None,
        torch.stack([logits for logits in audios if logits is not None]) if audios else None,
    )


def _feed(row: Row) -> Feed:
    if isinstance(row.turn, Weighing):
        return row.turn.feed(row.slot)
    return row.turn.feed(row.slot, len(row.prompt))
