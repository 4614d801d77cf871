"""Every single sound that is not speech, by the name of its class."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from training import sound_hits, sound_textures, sound_tones
from training.sound_signals import at_peak

BEEP, SILENCE = "beep", "silence"
MOST_BEEPS = 5

# Each takes a generator and seconds, and gives (T,) at 16 kHz.
_SOURCES: dict[str, Callable[[Generator, float], np.ndarray]] = {
    "siren": sound_tones.siren,
    "bell": sound_tones.bell,
    "phone ring": sound_tones.phone_ring,
    "alarm clock": sound_tones.alarm_clock,
    "rain": sound_textures.rain,
    "wind": sound_textures.wind,
    "thunder": sound_textures.thunder,
    "engine": sound_textures.engine,
    "running water": sound_textures.running_water,
    "footsteps": sound_hits.footsteps,
    "knocking": sound_hits.knocking,
    "applause": sound_textures.applause,
    "clock tick": sound_hits.clock_tick,
    "typing": sound_hits.typing,
    "bird": sound_tones.bird,
    "dog": sound_tones.dog,
    "piano melody": sound_tones.piano_melody,
    "chord": sound_tones.chord,
    "drum beat": sound_hits.drum_beat,
    "white noise": sound_textures.white_noise,
    SILENCE: sound_textures.silence,
}
SOUND_CLASSES = (BEEP, *_SOURCES)


@dataclass(frozen=True)
class Sound:
    """A sound with a peak of 1 (silence keeps its own level).

    waveform: (T,) float64, 16 kHz. spans: (start, end) in samples of each time it is heard; only
    beeps are told apart, of every other class there is one span.
    """

    name: str
    waveform: np.ndarray
    spans: tuple[tuple[int, int], ...]


def draw_sound(rng: Generator, name: str, seconds: float, most_beeps: int = MOST_BEEPS) -> Sound:
    """One sound of a class; beeps take the time that their number needs, not `seconds`.

    Raises: KeyError for a class that is not in SOUND_CLASSES.
    """
    if name == BEEP:
        waveform, spans = sound_tones.beeps(rng, int(rng.integers(1, most_beeps + 1)))
        return Sound(name, at_peak(waveform), spans)
    waveform = _SOURCES[name](rng, seconds)
    if name != SILENCE:
        waveform = at_peak(waveform)
    return Sound(name, waveform, ((0, len(waveform)),))
