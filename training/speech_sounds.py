"""Speech as a sound: a man, a woman or a robot, in English or Mandarin, in one of five moods.

espeak-ng carries its generator's state from one sentence to the next: text, speaker and prosody are
the same for the same generator, but samples differ in their noise and lengths by some milliseconds.
"""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator

from training import domain, domain_zh
from training.sound_signals import at_peak, band, pick, samples, times
from training.sound_sources import Sound
from training.synthesizers import (
    LEADING_SILENCE_S,
    MANDARIN_VOICE,
    TRAILING_SILENCE_S,
    EspeakSynthesizer,
    FliteSynthesizer,
)

SPEAKERS = ("man", "woman", "robot")
LANGUAGES = ("english", "mandarin")
SPEECH_CLASSES = tuple(
    f"{speaker} speaking {language}" for language in LANGUAGES for speaker in SPEAKERS
)

_ESPEAK_LANGUAGES = {"english": "en-us", "mandarin": MANDARIN_VOICE}
_VARIANTS = {"man": ("", "+m1", "+m2", "+m3", "+m7"), "woman": ("+f1", "+f2", "+f3", "+f4")}
_FLITE = {"man": "rms", "woman": "slt"}
_FLITE_SHARE = 0.2  # of calm English; flite is much slower than espeak
_MOST_WORDS, _MOST_HANZI = 7, 12


@dataclass(frozen=True)
class Prosody:
    """Ranges to draw from. rate: words a minute; pitch, pitch_range: espeak's 0 to 99."""

    rate_wpm: tuple[int, int]
    pitch: tuple[int, int]
    pitch_range: tuple[int, int]
    peak_db: tuple[float, float]


PROSODIES = {
    "neutral": Prosody((140, 160), (40, 52), (38, 52), (-12, -6)),
    "happy": Prosody((180, 205), (66, 78), (80, 95), (-8, -3)),
    "sad": Prosody((88, 108), (14, 26), (4, 14), (-20, -14)),
    "angry": Prosody((205, 235), (28, 40), (55, 75), (-2, -1)),
    "surprised": Prosody((125, 150), (88, 99), (95, 99), (-8, -3)),
}
EMOTIONS = tuple(PROSODIES)
CALM = PROSODIES["neutral"]
_ROBOT = Prosody((120, 150), (20, 70), (0, 0), (-12, -6))


@cache
def _espeak() -> EspeakSynthesizer:
    return EspeakSynthesizer()


@cache
def _flite(voice: str) -> FliteSynthesizer:
    return FliteSynthesizer(voice)


def draw_speech(
    rng: Generator,
    name: str,
    most_s: float,
    emotion: str | None = None,
    held_out: bool = False,
) -> Sound:
    """A short sentence, at most `most_s` long, with a peak of 1. name: of SPEECH_CLASSES.

    emotion: of EMOTIONS, or None for calm speech. held_out: say a sentence kept for evaluation.
    """
    speaker, _, language = name.split()
    while True:
        text = _short_text(rng, language, held_out)
        waveform = _spoken(rng, text, speaker, language, emotion)
        if len(waveform) <= samples(most_s):
            break
    waveform = at_peak(waveform)
    span = (samples(LEADING_SILENCE_S), len(waveform) - samples(TRAILING_SILENCE_S))
    return Sound(name, waveform, (span,))


def _short_text(rng: Generator, language: str, held_out: bool) -> str:
    source = random.Random(int(rng.integers(2**62)))
    while True:
        if language == "english":
            text = domain.SENTENCES.draw(source, ("template", "grammar"))
            fits = len(domain.words_of(text)) <= _MOST_WORDS
            kept = domain.SENTENCES.is_held_out(text)
        else:
            text = domain_zh.SENTENCES.draw(source, ("template", "grammar"))
            fits = len(domain_zh.hanzi_of(text)) <= _MOST_HANZI
            kept = domain_zh.SENTENCES.is_held_out(text)
        if fits and kept == held_out:
            return text


def _spoken(
    rng: Generator, text: str, speaker: str, language: str, emotion: str | None
) -> np.ndarray:
    """(T,) float64 of any level."""
    if speaker == "robot":
        body = pick(rng, ("man", "woman"))
        return _robotic(rng, _espoken(rng, text, body, language, _ROBOT))
    if emotion is None and language == "english" and rng.random() < _FLITE_SHARE:
        return _flite(_FLITE[speaker])(text, rng.uniform(1.0, 1.25)).waveform.astype(np.float64)
    voice = _espoken(rng, text, speaker, language, PROSODIES[emotion] if emotion else CALM)
    return _coloured(rng, voice, emotion)


def _espoken(
    rng: Generator, text: str, speaker: str, language: str, prosody: Prosody
) -> np.ndarray:
    voice = _ESPEAK_LANGUAGES[language] + pick(rng, _VARIANTS[speaker])
    rate, pitch, pitch_range = (
        int(rng.integers(low, high + 1))
        for low, high in (prosody.rate_wpm, prosody.pitch, prosody.pitch_range)
    )
    utterance = _espeak()(text, voice, rate, pitch, pitch_range=pitch_range)
    return utterance.waveform.astype(np.float64)


def _robotic(rng: Generator, voice: np.ndarray) -> np.ndarray:
    """A monotone voice through a ring modulator or a short metallic echo, or both."""
    style = pick(rng, ("ring", "echo", "both"))
    if style != "echo":
        carrier = np.sin(2 * np.pi * rng.uniform(45, 110) * times(len(voice)))
        voice = voice * (0.15 + carrier)
    if style != "ring":
        delay = samples(rng.uniform(0.005, 0.011))
        for repeat in range(1, 5):
            shifted = np.zeros(len(voice))
            shifted[repeat * delay :] = voice[: len(voice) - repeat * delay]
            voice = voice + 0.7**repeat * shifted
    return voice


def _coloured(rng: Generator, voice: np.ndarray, emotion: str | None) -> np.ndarray:
    """What prosody alone does not give: a driven, a dull, or a rising voice."""
    if emotion == "angry":
        return np.tanh(rng.uniform(3.0, 5.0) * at_peak(voice))
    if emotion == "sad":
        return band(voice, None, rng.uniform(1800, 2800))
    if emotion == "surprised":
        return _rising(voice, rng.uniform(1.25, 1.45))
    return voice


def _rising(voice: np.ndarray, ratio: float) -> np.ndarray:
    """Played faster and faster over its second half, so that the pitch climbs to `ratio`."""
    speed = np.interp(np.linspace(0, 1, len(voice)), (0, 0.45, 0.95), (1, 1, ratio))
    position = np.cumsum(speed)
    heard = position[position < len(voice)]
    return np.interp(heard, np.arange(len(voice)), voice)
