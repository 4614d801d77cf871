"""Sounds with a pitch: signals, bells, animals, music. Each takes a generator and a length."""

import numpy as np
from numpy.random import Generator

from training.sound_signals import (
    add_at,
    at_peak,
    band,
    curve,
    decay,
    faded,
    harmonics,
    noise,
    phase,
    pick,
    ring,
    samples,
    steady_onsets,
    struck,
    times,
)

# Partials of a struck bell (ratio to the strike note, strength, decay in seconds): hum, prime,
# minor third, fifth, octave and what rings above them.
_BELL_PARTIALS = (
    (0.5, 0.5, 2.2),
    (1.0, 1.0, 1.4),
    (1.19, 0.7, 1.0),
    (1.5, 0.4, 0.8),
    (2.0, 0.8, 0.7),
    (2.74, 0.5, 0.4),
    (3.76, 0.35, 0.25),
    (5.4, 0.25, 0.15),
)
_PENTATONIC = (0, 2, 4, 7, 9, 12, 14, 16)
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 12), (0, 3, 7, 10), (0, 4, 7, 11), (-12, 0, 4, 7))


def beeps(rng: Generator, count: int) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """`count` equal sine tones. Returns: the waveform, and (start, end) of each in samples.

    Gaps are well above those of the alarm clock: a person must be able to count them.
    """
    tone_s, gap_s = rng.uniform(0.10, 0.28), rng.uniform(0.18, 0.40)
    angle = phase(np.full(samples(tone_s), rng.uniform(500, 2400)))
    tone = faded(harmonics(angle, (1.0, rng.uniform(0, 0.15), rng.uniform(0, 0.1))), 0.008)
    lead_s, tail_s = rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.6)
    total_s = lead_s + count * (tone_s + gap_s) - gap_s + tail_s
    mix, spans = np.zeros(samples(max(1.2, total_s))), []
    for index in range(count):
        start = samples(lead_s + index * (tone_s + gap_s))
        add_at(mix, tone, start)
        spans.append((start, start + len(tone)))
    return mix, tuple(spans)


def siren(rng: Generator, seconds: float) -> np.ndarray:
    """A wail (slow rise and fall), a yelp (fast), or two tones in turn."""
    clock = times(samples(seconds))
    style, low_hz = pick(rng, ("wail", "yelp", "two tones")), rng.uniform(450, 750)
    if style == "two tones":
        period_s = rng.uniform(0.8, 1.4)
        high = (clock / period_s) % 1 < 0.5
        frequency = np.where(high, low_hz * rng.uniform(1.25, 1.5), low_hz)
    else:
        rate_hz = rng.uniform(0.3, 0.6) if style == "wail" else rng.uniform(2.2, 3.5)
        sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (rate_hz * clock + rng.uniform()))
        frequency = low_hz * rng.uniform(1.9, 2.6) ** sweep
    return faded(np.tanh(2 * harmonics(phase(frequency), (1.0, 0.4, 0.3, 0.15))), 0.03)


def bell(rng: Generator, seconds: float) -> np.ndarray:
    """One to four strokes of a bell with its inharmonic partials."""
    strike_hz, lasting = rng.uniform(280, 900), rng.uniform(0.7, 1.3)
    num_samples = samples(seconds)
    stroke = np.zeros(num_samples)
    for ratio, strength, decay_s in _BELL_PARTIALS:
        if ratio * strike_hz < 7500:
            loud = strength * rng.uniform(0.7, 1.3)
            stroke += loud * ring(num_samples, ratio * strike_hz, decay_s * lasting)
    onsets = steady_onsets(rng, seconds - 0.3, rng.uniform(0.8, 1.6), 0.02)
    return faded(struck(num_samples, onsets, lambda _: stroke), 0.03)


def phone_ring(rng: Generator, seconds: float) -> np.ndarray:
    """Two tones that warble at 16 to 26 Hz, in long rings with pauses."""
    num_samples = samples(seconds)
    clock, low_hz = times(num_samples), rng.uniform(700, 1100)
    warble = np.sin(2 * np.pi * rng.uniform(16, 26) * clock) > 0
    frequency = np.where(warble, low_hz, low_hz * rng.uniform(1.18, 1.35))
    tone = harmonics(phase(frequency), (1.0, 0.2, 0.35, 0.1, 0.15))
    ring_s, pause_s = rng.uniform(0.6, 1.0), rng.uniform(0.3, 0.6)
    inside = (clock + rng.uniform(0, 0.3)) % (ring_s + pause_s) < ring_s
    return faded(tone * _gate(inside))


def alarm_clock(rng: Generator, seconds: float) -> np.ndarray:
    """Bursts of four short, shrill square-wave pips, again and again."""
    clock = times(samples(seconds))
    tone = np.tanh(4 * np.sin(2 * np.pi * rng.uniform(1900, 3200) * clock))
    pip_s, burst_s = rng.uniform(0.10, 0.13), rng.uniform(0.65, 0.9)
    within = (clock + rng.uniform(0, 0.1)) % burst_s
    inside = (within < 4 * pip_s) & (within % pip_s < 0.55 * pip_s)
    return faded(tone * _gate(inside))


def _gate(inside: np.ndarray) -> np.ndarray:
    """(T,) bool -> gains with edges of about 2 ms."""
    kernel = np.hanning(samples(0.004))
    return np.convolve(inside.astype(float), kernel / kernel.sum(), "same")


def bird(rng: Generator, seconds: float) -> np.ndarray:
    """Phrases of high chirps: sweeps up or down, or a trill."""
    mix, onset_s = np.zeros(samples(seconds)), rng.uniform(0.02, 0.15)
    home_hz = rng.uniform(2600, 4600)
    while onset_s < seconds - 0.1:
        trill = rng.random() < 0.35
        count = int(rng.integers(5, 11)) if trill else int(rng.integers(1, 4))
        chirp_s = rng.uniform(0.03, 0.05) if trill else rng.uniform(0.07, 0.18)
        chirp = _chirp(rng, chirp_s, home_hz * rng.uniform(0.8, 1.25))
        for _ in range(count):
            add_at(mix, chirp, samples(onset_s), rng.uniform(0.6, 1.0))
            onset_s += chirp_s * rng.uniform(1.2, 1.5)
        onset_s += rng.uniform(0.12, 0.45)
    return faded(mix)


def _chirp(rng: Generator, seconds: float, centre_hz: float) -> np.ndarray:
    num_samples = samples(seconds)
    place = np.linspace(-0.5, 0.5, num_samples)
    slope, bend = rng.uniform(-0.5, 0.5), rng.uniform(-1.2, 1.2)
    frequency = np.clip(centre_hz * (1 + slope * place + bend * place**2), 1500, 7000)
    return harmonics(phase(frequency), (1.0, 0.08)) * np.hanning(num_samples)


def dog(rng: Generator, seconds: float) -> np.ndarray:
    """Barks, single or in pairs: a voiced, rough burst whose pitch jumps up and falls."""
    size = rng.uniform(0.75, 1.5)  # of the dog: a small one barks higher and shorter
    onsets, onset_s = [], rng.uniform(0.02, 0.15)
    while onset_s < seconds - 0.3:
        onsets.append(onset_s)
        onset_s += rng.uniform(0.26, 0.34) if rng.random() < 0.5 else rng.uniform(0.45, 0.8)
    return faded(struck(samples(seconds), onsets, lambda _: _bark(rng, size)))


def _bark(rng: Generator, size: float) -> np.ndarray:
    num_samples = samples(rng.uniform(0.13, 0.19) * size**0.5)
    place = np.linspace(0, 1, num_samples)
    frequency = rng.uniform(330, 420) / size * (0.75 + 0.7 * np.sin(np.pi * place**0.6))
    voiced = harmonics(phase(frequency), 1 / np.arange(1, 13) ** 0.4)
    formant_hz = rng.uniform(750, 1000) / size**0.5
    throat = band(voiced + 0.8 * noise(rng, num_samples), formant_hz * 0.6, formant_hz * 2.2)
    envelope = np.minimum(1, place / 0.08) * (1 - place) ** 0.8
    return np.tanh(2.5 * at_peak(throat)) * envelope * rng.uniform(0.75, 1.0)


def _note_hz(semitones_from_a3: float) -> float:
    return 220.0 * 2 ** (semitones_from_a3 / 12)


def _piano_note(rng: Generator, frequency_hz: float, seconds: float) -> np.ndarray:
    """Stretched partials, the higher ones dying sooner, after a soft thump of the hammer."""
    num_samples = samples(seconds)
    note = np.zeros(num_samples)
    for partial in range(1, 9):
        partial_hz = partial * frequency_hz * (1 + 0.0004 * partial**2) ** 0.5
        if partial_hz < 7500:
            note += ring(num_samples, partial_hz, 0.8 / partial**0.6) / partial**1.1
    hammer = samples(0.03)
    note[:hammer] += 0.15 * noise(rng, hammer)[:num_samples] * decay(hammer, 0.006)
    return faded(note, 0.003)


def piano_melody(rng: Generator, seconds: float) -> np.ndarray:
    """Single notes of a pentatonic scale, one after the other."""
    mix, key, beat_s = np.zeros(samples(seconds)), rng.uniform(-2, 12), rng.uniform(0.2, 0.36)
    onset_s, step, last = 0.03, int(rng.integers(len(_PENTATONIC))), -1
    while onset_s < seconds - 0.15:
        while step == last:  # a repeated note would sound like a beep
            step = int(np.clip(step + rng.integers(-3, 4), 0, len(_PENTATONIC) - 1))
        last = step
        held_s = beat_s * pick(rng, (1, 1, 1, 2))
        note = _piano_note(rng, _note_hz(key + _PENTATONIC[step]), held_s + 0.35)
        add_at(mix, note, samples(onset_s), rng.uniform(0.7, 1.0))
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
