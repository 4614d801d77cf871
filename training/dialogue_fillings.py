"""Fillings that every language's topics share: sums, what comes next, counting, opposites.

`named` says a number in words; fillings keep the order in which they are listed here.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from training.dialogue_topics import Filling

TOP = 20  # no sum and no number taken from is higher
SMALL = 10

Named = Callable[[int], str]
Fillings = tuple[Filling, ...]


def sums(named: Named) -> Fillings:
    """first + second = result."""
    pairs = ((a, b, a + b) for a, b in product(range(TOP + 1), repeat=2) if a + b <= TOP)
    return tuple(_sum(named, *pair) for pair in pairs)


def differences(named: Named) -> Fillings:
    """first - second = result."""
    pairs = ((a, b, a - b) for a, b in product(range(TOP + 1), repeat=2) if b <= a)
    return tuple(_sum(named, *pair) for pair in pairs)


def small_and_large(fillings: Fillings, named: Named) -> tuple[Fillings, Fillings]:
    """Sums of two numbers up to SMALL, and all others."""
    small_numbers = {named(number) for number in range(SMALL + 1)}
    small = tuple(f for f in fillings if {f["first"], f["second"]} <= small_numbers)
    return small, tuple(f for f in fillings if f not in small)


def neighbours(days: Sequence[str], step: int) -> Fillings:
    """Each day with the other one, `step` days on; after the last comes the first."""
    others = (days[(number + step) % len(days)] for number in range(len(days)))
    return tuple({"day": day, "other": other} for day, other in zip(days, others, strict=True))


def counts(named: Named, step: int, comma: str) -> Fillings:
    """Counting to n (step 1) or down from it (step -1)."""

    def filling(number: int) -> Filling:
        counted = [named(n) for n in range(1, number + 1)][::step]
        return {"n": named(number), "counted": comma.join(counted), "core": " ".join(counted)}

    return tuple(filling(number) for number in range(2, SMALL + 1))


def opposites(pairs: Mapping[str, str]) -> Fillings:
    """Each word of a pair with the other one."""
    both = pairs | {other: word for word, other in pairs.items()}  # type: ignore[operator]
    return tuple({"word": word, "other": other} for word, other in both.items())


def _sum(named: Named, first: int, second: int, result: int) -> Filling:
    return {"first": named(first), "second": named(second), "result": named(result)}
