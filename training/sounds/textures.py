"""Sounds made of noise that last: weather, water, engines, a crowd's hands, fire."""

import numpy as np
from numpy.random import Generator

from training.sounds.signals import (
    add_at,
    at_peak,
    band,
    burst,
    coloured,
    curve,
    decay,
    faded,
    formants,
    noise,
    phase,
    pick,
    pulses,
    ring,
    samples,
    showered,
    times,
    tone,
)

SILENCE_RMS = (3e-5, 1e-3)
_ENGINE_HZ = (70, 130, 250, 500, 1000, 1900, 3300)  # of what shakes along


def rain(rng: Generator, seconds: float) -> np.ndarray:
    """A bright hiss, from drizzle to downpour, with countless drops crackling in it."""
    num_samples = samples(seconds)
    hiss = noise(rng, num_samples, rng.uniform(500, 1600), rng.uniform(4500, 7000))
    drops = [ring(240, rng.uniform(900, 6000), rng.uniform(0.0006, 0.003)) for _ in range(6)]
    crackle = showered(rng, num_samples, rng.uniform(60, 500), drops)
    swell = curve(rng, num_samples, 1.5, 0.75, 1.0)
    rumble = at_peak(coloured(rng, num_samples, 1.0), rng.uniform(0, 0.25))
    mixed = at_peak(hiss, rng.uniform(0.2, 0.6)) + at_peak(crackle, rng.uniform(0.3, 0.9)) + rumble
    return faded(swell * mixed, 0.03)


def wind(rng: Generator, seconds: float) -> np.ndarray:
    """Dark noise that swells in gusts, often with a hollow whistle that wanders."""
    num_samples = samples(seconds)
    dark = band(noise(rng, num_samples, rng.uniform(30, 80), rng.uniform(250, 700)), None, 900)
    gust = curve(rng, num_samples, rng.uniform(0.6, 1.6), 0.08, 1.0)
    howl_hz = rng.uniform(300, 700) * (0.7 + 0.8 * gust)
    breath = band(noise(rng, num_samples), None, rng.uniform(15, 60))
    howl = np.sin(phase(howl_hz)) * breath * gust
    hiss = noise(rng, num_samples, 600, 3000) * gust**2
    strengths = rng.uniform(0, 0.7), rng.uniform(0.02, 0.2)
    return faded(
        gust * (at_peak(dark, 0.7) + at_peak(howl, strengths[0]) + at_peak(hiss, strengths[1])),
        0.05,
    )


def thunder(rng: Generator, seconds: float) -> np.ndarray:
    """A crack, near or far, then rolling blows in the lowest octaves that die away."""
    num_samples, near = samples(seconds), rng.random()
    rumble = band(coloured(rng, num_samples, 0.6), 25, 120 + 900 * near**2)
    envelope, onset_s = np.zeros(num_samples), rng.uniform(0.05, 0.4)
    mix = np.zeros(num_samples)
    for _ in range(int(rng.integers(1, 5))):
        crack = burst(rng, 150, 800 + 4500 * near, rng.uniform(0.03, 0.15))
        add_at(mix, crack, samples(onset_s + rng.uniform(0, 0.3)), near * rng.uniform(0.2, 0.9))
    strength = 1.0
    while onset_s < seconds:
        add_at(envelope, decay(num_samples, rng.uniform(0.3, 0.9)), samples(onset_s), strength)
        strength *= rng.uniform(0.6, 1.0)
        onset_s += rng.uniform(0.12, 0.5)
    return faded(mix + at_peak(rumble * band(envelope, None, 12)), 0.05)


def engine(rng: Generator, seconds: float) -> np.ndarray:
    """A low row of harmonics, rough from stroke to stroke: idling, revving, or passing by."""
    num_samples, style = samples(seconds), pick(rng, ("idle", "rev", "pass"))
    spread = 0.02 if style == "idle" else rng.uniform(0.1, 0.45)
    turns_hz = rng.uniform(25, 110) * curve(rng, num_samples, 0.7, 1 - spread, 1 + spread)
    turns_hz *= 1 + 0.02 * at_peak(noise(rng, num_samples, None, 30))
    body = [(hz * rng.uniform(0.7, 1.4), rng.uniform(0.1, 1) / hz**0.3) for hz in _ENGINE_HZ]
    rough = 1 + rng.uniform(0.2, 0.6) * at_peak(noise(rng, num_samples, None, 40))
    hum = at_peak(formants(pulses(turns_hz, rng.uniform(1500, 6000)), body) * rough)
    beat = 0.6 + 0.4 * np.sin(phase(turns_hz / 2))
    exhaust = band(coloured(rng, num_samples, 0.5), 80, rng.uniform(1500, 5000)) * beat
    mix = hum + at_peak(exhaust, rng.uniform(0.15, 0.6))
    if style == "pass":
        middle_s = rng.uniform(0.3, 0.7) * seconds
        mix = mix / (1 + ((times(num_samples) - middle_s) / rng.uniform(0.4, 1.2)) ** 2)
    return faded(mix, 0.05)


def vacuum_cleaner(rng: Generator, seconds: float) -> np.ndarray:
    """Rushing air and the steady whine of a motor."""
    num_samples = samples(seconds)
    air = band(coloured(rng, num_samples, rng.uniform(0.1, 0.4)), 150, rng.uniform(5000, 7500))
    motor_hz = rng.uniform(150, 500) * curve(rng, num_samples, 0.8, 0.98, 1.02)
    whine = tone(motor_hz, rng.uniform(0.05, 1, 12) / np.arange(1, 13))
    return faded(at_peak(air, 0.8) + at_peak(whine, rng.uniform(0.15, 0.5)), 0.05)


def running_water(rng: Generator, seconds: float) -> np.ndarray:
    """A tap or a brook: a rush with bubbles, short tones that rise in pitch."""
    num_samples = samples(seconds)
    rush = noise(rng, num_samples, rng.uniform(250, 900), rng.uniform(1500, 5000))
    rush *= curve(rng, num_samples, 9, 0.6, 1.0)
    bubbles = []
    for _ in range(10):
        length = samples(rng.uniform(0.015, 0.06))
        rising = rng.uniform(350, 1800) * np.linspace(1, rng.uniform(1.1, 1.7), length)
        bubbles.append(np.sin(phase(rising)) * np.hanning(length))
    gurgle = showered(rng, num_samples, rng.uniform(20, 90), bubbles)
    return faded(
        at_peak(rush, rng.uniform(0.4, 0.8)) + at_peak(gurgle, rng.uniform(0.4, 0.9)), 0.03
    )


def applause(rng: Generator, seconds: float) -> np.ndarray:
    """Few or many hands: short bursts around 1 to 2 kHz, swelling and thinning out."""
    num_samples, claps = samples(seconds), []
    for _ in range(10):
        centre_hz = rng.uniform(700, 2200)
        claps.append(burst(rng, centre_hz * 0.6, centre_hz * 1.8, rng.uniform(0.004, 0.01)))
    crowd = showered(rng, num_samples, np.exp(rng.uniform(np.log(25), np.log(300))), claps)
    return faded(crowd * curve(rng, num_samples, 1.0, 0.5, 1.0), 0.08)


def white_noise(rng: Generator, seconds: float) -> np.ndarray:
    """Flat and even: the one texture without any shape."""
    return faded(noise(rng, samples(seconds)), 0.02)


def silence(rng: Generator, seconds: float) -> np.ndarray:
    """A noise floor that no one hears; its level is meant and must not be raised."""
    floor = np.exp(rng.uniform(*np.log(SILENCE_RMS)))
    return floor * coloured(rng, samples(seconds), rng.uniform(0, 1))
