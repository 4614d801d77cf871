"""How well a checkpoint reads aloud: the judge writes down what it says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from training.evaluation.bench import Bench, Measurement
from training.evaluation.rows import Figure
from training.evaluation.scores import error_rates

logger = logging.getLogger(__name__)


def reading(language: str, sentences: Callable[[int], list[str]]) -> Measurement:
    """Error rates of sentences read aloud. sentences: so many of them."""

    def measure(bench: Bench) -> Mapping[str, Figure]:
        pairs = []
        for text in sentences(bench.limit):
            pairs.append((text, bench.said(text, language)))
            logger.info("said: %s -> %s", *pairs[-1])
        return {"spoken": error_rates(pairs, language)}

    return measure
