"""Answers to choose from: how likely the text head finds each, without generating anything."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kimi_demo.errors import PromptError
from kimi_demo.model.cache import SlotCache
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.prompt import PromptStreams


def weigh(
    model: LanguageModel,
    prompt: PromptStreams,
    answers: Sequence[Sequence[int]],
    blank: int,
    cache: SlotCache,
    slot: int = 0,
) -> Generator[None, None, tuple[float, ...]]:
    """Probability of each answer, given that it is one of them: what the generator returns, after
    it has stopped at each step.

    answers: text ids of each. blank: fills the audio stream beside them.
    The prompt is read once; every answer is then fed over the positions behind it, where the mask
    hides what the one before left. An answer of a single id needs no step at all.
    Raises: PromptError if there is no answer, one has no id, or the slot is too small.
    """
    _check(len(prompt), answers, cache.capacity)
    first = _log_probabilities(model.prefill(prompt, cache, slot).text[0])
    scores = []
    for ids in answers:
        score = first[ids[0]]
        for offset, (fed, expected) in enumerate(pairwise(ids)):
            logits = _feed(model, cache, slot, fed, blank, len(prompt) + offset)
            score = score + _log_probabilities(logits)[expected]
            yield
        scores.append(score)
    return tuple(torch.stack(scores).softmax(0).tolist())


def _check(prompt_length: int, answers: Sequence[Sequence[int]], capacity: int) -> None:
    if not answers or not all(answers):
        raise PromptError("there is nothing to choose from: give options with words in them")
    needed = prompt_length + max(map(len, answers)) - 1  # the last id is never fed
    if needed > capacity:
        raise PromptError(
            f"sound, question and options fill {needed} of {capacity} positions: send a shorter "
            "sound or shorter options"
        )


def _log_probabilities(logits: Tensor) -> Tensor:
    """(V,) of any precision -> (V,) float32."""
    return logits.float().log_softmax(-1)


def _feed(
    model: LanguageModel, cache: SlotCache, slot: int, text_id: int, blank: int, position: int
) -> Tensor:
    """One step of the slot -> (V,) text logits; idle slots may hold anything, so they get the
    same.
    """
    shared = (text_id, blank, position)
    text_ids, audio_ids, positions = (
        torch.full((cache.num_slots,), value, device=model.device) for value in shared
    )
    return model.decode(text_ids, audio_ids, positions, cache, position + 1).text[slot]
