"""The voices that the checkpoint listens to during evaluation, made on the spot.

Raises, wherever a voice is asked for: SynthesizerUnavailableError if its library is missing.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.random import Generator

from kimi_demo.audio import Audio, from_samples
from training import augment
from training.corpus import (
    ESPEAK_HELD_OUT,
    FLITE_STRETCH,
    MANDARIN_HELD_OUT,
    MANDARIN_SETTING,
)

# One espeak a process: its callback belongs to whoever was made last, and the sounds have theirs.
from training.speech_sounds import _espeak as espeak
from training.synthesizers import (
    MANDARIN_VOICE,
    FliteSynthesizer,
    SynthesizerUnavailableError,
    Utterance,
)

logger = logging.getLogger(__name__)

Voice = Callable[[str], Audio]

LANGUAGES = ("en", "zh")
ORIGINALS = {"en": "slt", "zh": "mandarin"}  # what the checkpoint's own voices imitate
UNSEEN = "rms"  # of flite; no transcription was trained on it
SNR_DB = 15.0
REVERBERATION_S = 0.3

_DEGRADATIONS: Mapping[str, Callable[[np.ndarray, Generator], np.ndarray]] = {
    "noise": lambda wave, generator: augment.with_noise(wave, generator, SNR_DB),
    "room": lambda wave, generator: augment.in_room(wave, generator, REVERBERATION_S),
    "telephone": lambda wave, _: augment.through_telephone(wave),
}
DEGRADATIONS = tuple(_DEGRADATIONS)


def original(language: str) -> Voice | None:
    """The voice that speech is compared with; None, and a warning, without its library."""
    try:
        return flite(ORIGINALS["en"]) if language == "en" else _espoken(_MANDARIN)
    except SynthesizerUnavailableError as exc:
        logger.warning("nothing is compared with the original voice: %s", exc)
        return None


def trained(language: str) -> dict[str, Voice]:
    """The voices that transcription was trained on, by name; the original voice is the first."""
    settings = ESPEAK_HELD_OUT if language == "en" else MANDARIN_HELD_OUT
    first = flite(ORIGINALS["en"]) if language == "en" else _espoken(_MANDARIN)
    others = {f"espeak {setting[0]}": _espoken(setting) for setting in settings}
    return {ORIGINALS[language]: first, **others}


@cache
def flite(name: str) -> Voice:
    """A voice of flite, as slow as in the training material."""
    synthesizer = FliteSynthesizer(name)
    return lambda text: _audio(synthesizer(text, FLITE_STRETCH))


def degraded(voice: Voice, name: str) -> Voice:
    """The voice as it would be recorded; the same text sounds the same each time.

    name: of `DEGRADATIONS`.
    """

    def recorded(text: str) -> Audio:
        clean = voice(text)
        generator = np.random.default_rng(zlib.crc32(text.encode()))
        wave = _DEGRADATIONS[name](clean.waveform.astype(np.float64), generator)
        loudest = max(float(np.abs(wave).max(initial=0.0)), 1.0)
        return Audio((wave / loudest).astype(np.float32), clean.sample_rate)

    return recorded


_MANDARIN = (MANDARIN_VOICE, *MANDARIN_SETTING)


def _espoken(setting: tuple[str, int, int]) -> Voice:
    """setting: espeak's voice, words a minute, pitch."""
    synthesizer = espeak()
    return lambda text: _audio(synthesizer(text, *setting))


def _audio(utterance: Utterance) -> Audio:
    return from_samples(utterance.waveform, utterance.sample_rate)
