"""Sounds with a pitch: signals, bells, music. Each takes a generator and a length in seconds.

Those in the plural give a function that makes the same thing again, to be counted.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from training.sounds.signals import (
    add_at,
    along,
    at_peak,
    burst,
    curve,
    decay,
    faded,
    formants,
    harmonics,
    noise,
    phase,
    pick,
    pulses,
    ring,
    samples,
    times,
    tone,
)

# Partials of a struck bell (ratio to the strike note, strength, decay in seconds): hum, prime,
# minor third, fifth, octave and what rings above them.
_CHURCH_BELL = (
    *((0.5, 0.5, 2.2), (1.0, 1.0, 1.4), (1.19, 0.7, 1.0), (1.5, 0.4, 0.8)),
    *((2.0, 0.8, 0.7), (2.74, 0.5, 0.4), (3.76, 0.35, 0.25), (5.4, 0.25, 0.15)),
)
_SMALL_BELL = ((1.0, 1.0, 0.7), (2.76, 0.6, 0.4), (5.4, 0.3, 0.2))  # those of a rod
_PENTATONIC = (0, 2, 4, 7, 9, 12, 14, 16)
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 12), (0, 3, 7, 10), (0, 4, 7, 11), (-12, 0, 4, 7))


def beeps(rng: Generator) -> Callable[[], np.ndarray]:
    """Equal tones, of sine to square shape."""
    length = samples(rng.uniform(0.08, 0.35))
    frequency = np.full(length, np.exp(rng.uniform(np.log(400), np.log(3000))))
    square = rng.uniform(0, 0.35)
    beep = faded(tone(frequency, (1.0, square / 4, square, square / 5, square / 2)), 0.006)
    return lambda: beep


def bells(rng: Generator) -> Callable[[], np.ndarray]:
    """Strokes of a church bell, a hand bell or the bell of a shop or a bicycle."""
    large = rng.random() < 0.6
    partials = _CHURCH_BELL if large else _SMALL_BELL
    strike_hz = rng.uniform(250, 900) if large else rng.uniform(900, 2600)
    lasting, num_samples = rng.uniform(0.6, 1.5), samples(2.5 if large else 1.2)
    stroke = np.zeros(num_samples)
    for ratio, strength, decay_s in partials:
        if ratio * strike_hz < 7500:
            partial_hz = ratio * strike_hz * rng.uniform(0.99, 1.01)
            pair = ring(num_samples, partial_hz, decay_s * lasting)
            pair += 0.4 * ring(num_samples, partial_hz + rng.uniform(0.5, 3), decay_s * lasting)
            stroke += strength * rng.uniform(0.6, 1.4) * pair  # two that are nearly equal: it beats
    add_at(stroke, burst(rng, 1000, 6000, 0.004), 0, 0.4)
    return lambda: faded(stroke * rng.uniform(0.8, 1.0), 0.002)


def siren(rng: Generator, seconds: float) -> np.ndarray:
    """A wail (slow rise and fall), a yelp (fast), two tones in turn, or the fall of a horn."""
    num_samples, low_hz = samples(seconds), rng.uniform(350, 800)
    clock, style = times(num_samples), pick(rng, ("wail", "wail", "yelp", "two tones", "motor"))
    if style == "two tones":
        period_s = rng.uniform(0.7, 1.5)
        high = ((clock + rng.uniform(0, 1)) / period_s) % 1 < 0.5
        frequency = np.where(high, low_hz * rng.uniform(1.2, 1.5), low_hz)
    elif style == "motor":
        knots = (0.5, 1.0, 0.95) if rng.random() < 0.5 else (1.0, 0.8, 0.55)
        frequency = low_hz * 1.3 * along(knots, num_samples)
    else:
        rate_hz = rng.uniform(0.15, 0.6) if style == "wail" else rng.uniform(2.2, 4.5)
        sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (rate_hz * clock + rng.uniform()))
        frequency = low_hz * rng.uniform(1.7, 2.6) ** sweep
    wail = tone(frequency, rng.uniform(0.2, 1, 9) / np.arange(1, 10) ** rng.uniform(0.3, 1.2))
    return faded(wail * curve(rng, num_samples, 0.8, 0.6, 1.0), 0.03)


def phone_ring(rng: Generator, seconds: float) -> np.ndarray:
    """A warble of two tones, the hammer of an old telephone, or a short tune again and again."""
    num_samples = samples(seconds)
    clock, low_hz = times(num_samples), rng.uniform(600, 1400)
    style, rate_hz = pick(rng, ("warble", "hammer", "tune")), rng.uniform(14, 26)
    if style == "hammer":
        strokes = np.abs(np.sin(np.pi * rate_hz * clock))
        rung = sum(ring_hz[1] * np.sin(2 * np.pi * low_hz * ring_hz[0] * clock) for ring_hz in
                   ((1, 1), (1.27, 0.8), (2.4, 0.4), (3.9, 0.3))) * (0.25 + strokes)  # fmt: skip
    elif style == "tune":
        notes = low_hz * 2 ** (rng.choice(_PENTATONIC, int(rng.integers(3, 7))) / 12)
        step = (clock / rng.uniform(0.1, 0.18)).astype(int) % len(notes)
        rung = tone(notes[step], (1.0, 0.3, 0.3, 0.1))
    else:
        warble = np.sin(2 * np.pi * rate_hz * clock) > 0
        frequency = np.where(warble, low_hz, low_hz * rng.uniform(1.15, 1.35))
        rung = tone(frequency, (1.0, 0.2, 0.35, 0.1, 0.15))
    ring_s, pause_s = rng.uniform(0.5, 1.4), rng.uniform(0.3, 1.0)
    inside = (clock + rng.uniform(0, 0.4)) % (ring_s + pause_s) < ring_s
    return faded(rung * _gate(inside, 0.03 if style == "hammer" else 0.004))


def alarm_clock(rng: Generator, seconds: float) -> np.ndarray:
    """Bursts of shrill square-wave pips, again and again; or a mechanical bell that rattles on."""
    num_samples = samples(seconds)
    clock = times(num_samples)
    if rng.random() < 0.3:
        rattle = np.zeros(num_samples)
        partials = [(rng.uniform(1800, 6500), rng.uniform(0.3, 1)) for _ in range(5)]
        blow = sum(s * ring(samples(0.15), hz, 0.04) for hz, s in partials)
        onset_s, pace_s = 0.02, rng.uniform(0.045, 0.08)
        while onset_s < seconds:
            add_at(rattle, blow, samples(onset_s), rng.uniform(0.7, 1))
            onset_s += pace_s * rng.uniform(0.9, 1.1)
        return faded(rattle)
    square = rng.uniform(0, 0.4)
    shrill = tone(
        np.full(num_samples, rng.uniform(1000, 3200)), (1, 0.05, square, 0.02, square / 2)
    )
    pip_s, pips = rng.uniform(0.10, 0.14), pick(rng, (2, 3, 4, 4))
    within = (clock + rng.uniform(0, 0.1)) % (pips * pip_s + rng.uniform(0.2, 0.5))
    return faded(shrill * _gate((within < pips * pip_s) & (within % pip_s < 0.55 * pip_s)))


def _gate(inside: np.ndarray, seconds: float = 0.004) -> np.ndarray:
    """(T,) bool -> gains with soft edges."""
    kernel = np.hanning(samples(seconds))
    return np.convolve(inside.astype(float), kernel / kernel.sum(), "same")


def _note_hz(semitones_from_a3: float) -> float:
    return 220.0 * 2 ** (semitones_from_a3 / 12)


def _piano_note(rng: Generator, frequency_hz: float, seconds: float) -> np.ndarray:
    """Stretched partials, the higher ones dying sooner, after a soft thump of the hammer."""
    num_samples = samples(seconds)
    note, dull = np.zeros(num_samples), rng.uniform(0.9, 1.5)
    for partial in range(1, 11):
        partial_hz = partial * frequency_hz * (1 + 0.0004 * partial**2) ** 0.5
        if partial_hz < 7500:
            strength = rng.uniform(0.6, 1.2) / partial**dull
            note += strength * ring(num_samples, partial_hz, 0.9 / partial**0.6)
    hammer = min(samples(0.03), num_samples)
    note[:hammer] += 0.15 * noise(rng, hammer, None, 3000) * decay(hammer, 0.006)
    return faded(note, 0.003)


def piano_melody(rng: Generator, seconds: float) -> np.ndarray:
    """Single notes of a pentatonic scale one after the other, sometimes over a bass note."""
    mix, key, beat_s = np.zeros(samples(seconds)), rng.uniform(-6, 14), rng.uniform(0.18, 0.45)
    onset_s, step, last = 0.03, int(rng.integers(len(_PENTATONIC))), -1
    accompanied = rng.random() < 0.4
    while onset_s < seconds - 0.15:
        while step == last:  # a repeated note would sound like a beep
            step = int(np.clip(step + rng.integers(-3, 4), 0, len(_PENTATONIC) - 1))
        last, held_s = step, beat_s * pick(rng, (1, 1, 1, 2))
        note = _piano_note(rng, _note_hz(key + _PENTATONIC[step]), held_s + 0.5)
        add_at(mix, note, samples(onset_s), rng.uniform(0.6, 1.0))
        if accompanied and rng.random() < 0.4:
            bass = _piano_note(rng, _note_hz(key - 12 + pick(rng, (0, -5, 4))), 1.2)
            add_at(mix, bass, samples(onset_s), 0.7)
        onset_s += held_s
    return faded(mix)


def chord(rng: Generator, seconds: float) -> np.ndarray:
    """Three or four notes at once, held to the end like an organ's or struck like a piano's."""
    num_samples, root, notes = samples(seconds), rng.uniform(-5, 9), pick(rng, _CHORDS)
    if rng.random() < 0.5:
        mix = sum(_piano_note(rng, _note_hz(root + note), seconds) for note in notes)
        return faded(mix, 0.02)
    tremble = 1 + 0.003 * curve(rng, num_samples, 5, -1, 1)
    strengths = rng.uniform(0.2, 1.0, 6) / np.arange(1, 7)
    mix = sum(harmonics(phase(_note_hz(root + note) * tremble), strengths) for note in notes)
    return faded(mix * decay(num_samples, rng.uniform(2, 6)), 0.06)


def violin(rng: Generator, seconds: float) -> np.ndarray:
    """Bowed notes, low as a cello's or high, with vibrato and the body's resonances."""
    num_samples, key = samples(seconds), rng.uniform(-18, 16)
    beat = samples(rng.uniform(0.35, 1.2))
    steps = key + rng.choice(_PENTATONIC, num_samples // beat + 1)
    vibrato = 1 + rng.uniform(0.003, 0.012) * np.sin(2 * np.pi * 5.5 * times(num_samples))
    frequency = np.repeat(_note_hz(steps), beat)[:num_samples] * vibrato
    bow = 0.35 + 0.65 * np.abs(np.sin(np.pi * np.arange(num_samples) / beat)) ** 0.5
    body = [(450, 0.8), (1000, 0.6), (2500, 0.7), (3500, 0.4)]
    string = formants(pulses(frequency, 6000) - 0.2, body)
    return faded(at_peak(string * bow) + 0.02 * noise(rng, num_samples, 1500, 6000), 0.04)
