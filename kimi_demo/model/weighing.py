"""Answers to choose from: how likely the text head finds each, without generating anything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kimi_demo.errors import PromptError
from kimi_demo.model.language_model import Feed


class Weighing:
    """The probability of each answer, given that it is one of them.

    It takes part in decode steps as a turn does. The prompt is read once; every answer is then fed
    to the positions behind it, over what the one before left. An answer of a single id needs no
    step at all.
    """

    writes, speaks = True, False

    def __init__(
        self, answers: Sequence[Sequence[int]], blank: int, prompt_length: int, capacity: int
    ) -> None:
        """answers: text ids of each. blank: fills the audio stream beside them. capacity: of the
        slot.

        Raises: PromptError if there is no answer, one has no id, or the slot is too small.
        """
        _check(prompt_length, answers, capacity)
        self._answers, self._blank, self._start = answers, blank, prompt_length
        self._scores: list[Tensor] = []
        # For each step: which answer, behind how many of its ids, the id fed, the id expected.
        self._plan = [
            (number, offset, fed, expected)
            for number, ids in enumerate(answers)
            for offset, (fed, expected) in enumerate(pairwise(ids))
        ]
        self._done = 0

    @property
    def finished(self) -> bool:
        """Whether all is weighed."""
        return bool(self._scores) and self._done == len(self._plan)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each answer; they sum to one."""
        return tuple(torch.stack(self._scores).softmax(0).tolist())

    def length_of(self, number: int) -> int:
        """Ids of an answer."""
        return len(self._answers[number])

    def accept(self, text_logits: Tensor) -> None:
        """Takes the logits (V,) after the prompt, then after each feed."""
        likely = text_logits.float().log_softmax(-1)
        if not self._scores:
            self._scores = [likely[ids[0]] for ids in self._answers]
            return
        number, _, _, expected = self._plan[self._done]
        self._scores[number] = self._scores[number] + likely[expected]
        self._done += 1

    def feed(self, slot: int) -> Feed:
        """What the model reads next."""
        _, offset, fed, _ = self._plan[self._done]
        return Feed(slot, self._start + offset, fed, self._blank, speaks=False)


def _check(prompt_length: int, answers: Sequence[Sequence[int]], capacity: int) -> None:
    if not answers or not all(answers):
        raise PromptError("there is nothing to choose from: give options with words in them")
    needed = prompt_length + max(map(len, answers)) - 1  # the last id is never fed
    if needed > capacity:
        raise PromptError(
            f"sound, question and options fill {needed} of {capacity} positions: send a shorter "
            "sound or shorter options"
        )
