"""How well a checkpoint writes down what is said, voice by voice and in worse and worse sound."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from training import domain, domain_zh, measures
from training.evaluation import voices
from training.evaluation.bench import Bench
from training.evaluation.voices import DEGRADATIONS, UNSEEN, Voice

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transcripts:
    """What was said and what was written, pair by pair."""

    said: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    def __add__(self, other: Transcripts) -> Transcripts:
        return Transcripts(self.said + other.said, self.written + other.written)

    def rates(self, language: str) -> dict[str, float]:
        return measures.error_rates(self.said, self.written, language)


def hearing(bench: Bench) -> dict[str, object]:
    """Both languages in the voices of training; English also degraded and in an unseen voice."""
    english, mandarin = domain.SENTENCES.read_held_out(), domain_zh.SENTENCES.read_held_out()
    known = voices.trained("en")
    return {
        "en": {
            **by_voice(bench, english, known, "en"),
            **degraded(bench, english, known, "en"),
            "unseen": heard(bench, english, [voices.flite(UNSEEN)], "en").rates("en"),
        },
        "zh": by_voice(bench, mandarin, voices.trained("zh"), "zh"),
    }


def by_voice(
    bench: Bench, texts: Sequence[str], known: Mapping[str, Voice], language: str
) -> dict[str, object]:
    """Every sentence in every voice: error rates of each, and of all together (`clean`)."""
    transcripts = {name: heard(bench, texts, [voice], language) for name, voice in known.items()}
    together = sum(transcripts.values(), Transcripts())
    return {
        "clean": together.rates(language),
        "voices": {name: each.rates(language) for name, each in transcripts.items()},
    }


def degraded(
    bench: Bench, texts: Sequence[str], known: Mapping[str, Voice], language: str
) -> dict[str, object]:
    """Error rates by degradation; the first two voices take turns."""
    first_two = list(known.values())[:2]
    return {
        name: heard(
            bench, texts, [voices.degraded(voice, name) for voice in first_two], language
        ).rates(language)
        for name in DEGRADATIONS
    }


def heard(
    bench: Bench, texts: Sequence[str], speakers: Sequence[Voice], language: str
) -> Transcripts:
    """The first sentences, each spoken once; the speakers take turns."""
    said = tuple(texts[: bench.limit])
    return Transcripts(said, tuple(_written(bench, _turns(said, speakers), language)))


def _turns(texts: Sequence[str], speakers: Sequence[Voice]) -> Iterable[tuple[str, Voice]]:
    return ((text, speakers[n % len(speakers)]) for n, text in enumerate(texts))


def _written(bench: Bench, turns: Iterable[tuple[str, Voice]], language: str) -> Iterable[str]:
    for text, voice in turns:
        written = bench.written(voice(text), language)
        logger.info("heard: %s -> %s", text, written)
        yield written
