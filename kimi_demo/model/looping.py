"""Notices when an answer only repeats itself, as speech recognition of the release sometimes does
until its limit.
"""

from __future__ import annotations

LOOP_REPEATS = 4  # a refrain or "no, no, no" comes two or three times
LOOP_TOKENS = 48  # long laughter or ten zeros in a row are shorter than this
LOOP_PERIOD_TOKENS = 48  # a long sentence; what repeats with a longer period meets the limit


class LoopDetector:
    """Watches one stream of ids for the same run of ids again and again, with nothing between.

    It is a loop as soon as the latest `LOOP_REPEATS` runs are equal and together at least
    `LOOP_TOKENS` long. Counting is none: its numbers differ.
    """

    def __init__(self) -> None:
        self._ids: list[int] = []
        # By period: how many of the latest ids equal the one that stands a period before.
        self._equal = [0] * (LOOP_PERIOD_TOKENS + 1)

    def push(self, token: int) -> bool:
        """Whether this id completes a loop."""
        self._ids.append(token)
        periods = range(1, LOOP_PERIOD_TOKENS + 1)
        return any([self._repeats(period) for period in periods])  # a list: all of them count on

    def _repeats(self, period: int) -> bool:
        ids = self._ids
        same = len(ids) > period and ids[-1] == ids[-1 - period]
        self._equal[period] = self._equal[period] + 1 if same else 0
        return self._equal[period] + period >= max(LOOP_REPEATS * period, LOOP_TOKENS)
