"""Speech as a sound: sentences of the speech shards, by who speaks which language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soxr
from numpy.random import Generator

from training import shards
from training.sounds.signals import SAMPLE_RATE_HZ, at_peak, faded, pick

SPEECH = tuple(
    f"{who} speaking {what}" for what in ("English", "Mandarin") for who in ("man", "woman")
)
_LANGUAGES = {"en": "English", "zh": "Mandarin"}
_LONGEST_S = 6.0


class Voices:
    """Utterances of shards by who speaks which language; the last shard of each kind is held out.

    The sound of a shard is mapped, not read: whatever is not drawn costs nothing.
    """

    def __init__(self, utterances: Iterable[tuple[str, bool, np.ndarray]]) -> None:
        """utterances: (name of SPEECH, held out or not, (T,) int16 at 24 kHz)."""
        self._utterances: dict[tuple[str, bool], list[np.ndarray]] = defaultdict(list)
        for name, held_out, samples in utterances:
            self._utterances[name, held_out].append(samples)

    @classmethod
    def load(cls, lines: Path, sound: Path, kinds: tuple[str, ...] = ("hear",)) -> Voices:
        """Shards `KIND-*.jsonl` in one folder with their decoded `.npy` in another, or the same.

        Raises: FileNotFoundError if there is no shard of these kinds.
        """
        found = []
        for kind in kinds:
            paths = sorted(lines.glob(f"{kind}-*.jsonl"))
            for path in paths:
                waveform = np.load(sound / f"{path.stem}.npy", mmap_mode="r")
                for utterance in shards.read_lines(path):
                    name = speaker_of(utterance.voice, utterance.language)
                    end = utterance.start + utterance.samples
                    if name and utterance.samples < _LONGEST_S * shards.SAMPLE_RATE:
                        found.append((name, path == paths[-1], waveform[utterance.start : end]))
        if not found:
            raise FileNotFoundError(f"no shard of {', '.join(kinds)} in {lines}")
        return cls(found)

    def draw(self, rng: Generator, name: str, held_out: bool = False) -> np.ndarray:
        """(T,) float64, 16 kHz, a peak of 1: one sentence. Raises: KeyError, no such voice."""
        found = self._utterances.get((name, held_out))
        if not found:
            raise KeyError(f"no voice of a {name}")
        waveform = pick(rng, found).astype(np.float64) / 32768
        return at_peak(faded(soxr.resample(waveform, shards.SAMPLE_RATE, SAMPLE_RATE_HZ)))


def speaker_of(voice: str, language: str) -> str:
    """The name in SPEECH of a voice like `af_heart` or `am_puck+0.5*am_adam`; "" if a man's and a
    woman's are mixed.
    """
    sexes = {part.split("*")[-1][1] for part in voice.split("+")}
    if len(sexes) > 1:
        return ""
    return f"{'woman' if sexes == {'f'} else 'man'} speaking {_LANGUAGES[language]}"
