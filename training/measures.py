"""Figures about speech and answers: error rates, shares, length, clipping, an end that is missed.

Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from statistics import fmean

import jiwer
import numpy as np

from kimi_demo.audio import Audio
from training.domain_zh import hanzi_of

CLIPPED_FROM = 0.999  # of full scale
SPEECH_FLOOR_DB = -35.0  # below the loudest window: silence
WINDOW_S = 0.02
RUN_ON_RATIO, RUN_ON_S = 1.3, 0.5

# Mandarin is written without spaces: what is a word would be a matter of taste.
RATES = {"en": ("wer", "cer"), "zh": ("cer",)}

_NO_WORD = re.compile(r"[^a-z ]+")


def plain_words(text: str) -> str:
    """Lower-case letters and single spaces: "It's ten o'clock." -> "its ten oclock"."""
    return " ".join(_NO_WORD.sub("", text.lower().replace("-", " ")).split())


def bare(text: str, language: str) -> str:
    """What counts of a text: letters and spaces in English, hanzi in Mandarin."""
    return hanzi_of(text) if language == "zh" else plain_words(text)


def same_words(expected: str, answer: str) -> bool:
    """Whether two texts differ in nothing but case, punctuation and spaces."""
    return _words(expected) == _words(answer)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def error_rates(
    references: Sequence[str], hypotheses: Sequence[str], language: str = "en"
) -> dict[str, float | int | None]:
    """The language's error rates over all sentences together, case and punctuation aside.

    Without a sentence there is no rate. `count`: sentences.
    """
    expected, heard = ([bare(text, language) for text in t] for t in (references, hypotheses))
    rates = {"wer": jiwer.wer, "cer": jiwer.cer}
    figures = {
        name: round(rates[name](expected, heard), 4) if expected else None
        for name in RATES[language]
    }
    return {**figures, "count": len(expected)}


def share(flags: Iterable[bool]) -> float | None:
    """How many of them are true, 0 to 1; None of nothing."""
    kept = [float(flag) for flag in flags]
    return round(fmean(kept), 4) if kept else None


def rightness(flags: Iterable[bool]) -> dict[str, float | int | None]:
    """The share of right answers, and how many there were."""
    kept = list(flags)
    return {"right": share(kept), "count": len(kept)}


def clipped_share(waveform: np.ndarray) -> float:
    """Share of samples at full scale, 0 to 1."""
    return float((np.abs(waveform) >= CLIPPED_FROM).mean()) if waveform.size else 0.0


def speech_end_s(audio: Audio) -> float:
    """When the last window ends that is not silent, in seconds; 0 for a silent sound."""
    window = max(1, round(WINDOW_S * audio.sample_rate))
    padded = np.pad(audio.waveform, (0, -len(audio.waveform) % window))
    power = np.square(padded.reshape(-1, window)).mean(axis=1)
    loudest = float(power.max(initial=0.0))
    if loudest == 0.0:
        return 0.0
    voiced = np.flatnonzero(power >= loudest * 10 ** (SPEECH_FLOOR_DB / 10))
    return float(voiced[-1] + 1) * window / audio.sample_rate


def runs_on(spoken: Audio, original: Audio) -> bool:
    """Trailing babble: speech ends more than half a second and 30 % later than in the original."""
    spoken_s, original_s = speech_end_s(spoken), speech_end_s(original)
    return spoken_s > original_s * RUN_ON_RATIO and spoken_s > original_s + RUN_ON_S


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median and the ends of the middle eighty per cent; None of nothing."""
    if not values:
        return None
    low, middle, high = np.percentile(values, (10, 50, 90))
    return {"p10": round(low, 4), "median": round(middle, 4), "p90": round(high, 4)}
