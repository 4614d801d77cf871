"""What is measured and what it should reach, as values. The rows themselves stand in aims.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RIGHT = "right"  # the measure of rows where more is better
_AIMS = Path(__file__).with_name("aims.md")


class NotMeasuredError(Exception):
    """What a row needs is not at hand; the message says what that is."""


@dataclass(frozen=True)
class Row:
    """One line of the table; aim: the least that should be reached. See the head of aims.md."""

    section: str
    key: str
    name: str
    measure: str
    aim: float | None
    stretch: float | None

    def reaches(self, value: float | None, bound: float | None) -> bool | None:
        """None where there is no value or no bound."""
        if value is None or bound is None:
            return None
        return value >= bound if self.measure == RIGHT else value <= bound


@dataclass(frozen=True)
class Figure:
    """A value over `count` items; None if there was no item. more: what else is known of it."""

    value: float | None
    count: int
    more: Mapping[str, object] = field(default_factory=dict)


def read_rows() -> list[Row]:
    """All rows in the order of the card."""
    lines = [line for line in _AIMS.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])
    return [Row(*words, _number(aim), _number(stretch)) for *words, aim, stretch in cells]


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
