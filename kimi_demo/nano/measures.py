"""Figures about speech: error rates, length, clipping, an end that is missed. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

import jiwer
import numpy as np

from kimi_demo.audio import Audio

CLIPPED_FROM = 0.999  # of full scale
SPEECH_FLOOR_DB = -35.0  # below the loudest window: silence
WINDOW_S = 0.02
RUN_ON_RATIO, RUN_ON_S = 1.3, 0.5

_NO_WORD = re.compile(r"[^a-z ]+")


def plain_words(text: str) -> str:
    """Lower-case letters and single spaces: "It's ten o'clock." -> "its ten oclock"."""
    return " ".join(_NO_WORD.sub("", text.lower().replace("-", " ")).split())


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Word and character error rate over all sentences together, case and punctuation aside."""
    expected = [plain_words(text) for text in references]
    heard = [plain_words(text) for text in hypotheses]
    return {
        "wer": round(jiwer.wer(expected, heard), 4),
        "cer": round(jiwer.cer(expected, heard), 4),
    }


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
