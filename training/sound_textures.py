"""Sounds made of noise that last: weather, water, an engine, a crowd's hands."""

import numpy as np
from numpy.random import Generator
from scipy.signal import oaconvolve

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
    ring,
    samples,
)
from training.synthesizers import SAMPLE_RATE_HZ

SILENCE_RMS = 1e-3  # -60 dB below full scale


def _showered(
    rng: Generator, num_samples: int, rate_hz: float, drops: list[np.ndarray]
) -> np.ndarray:
    """(T,) drops of a few kinds falling at random moments with random strengths."""
    mix = np.zeros(num_samples)
    for drop in drops:
        count = rng.poisson(rate_hz * num_samples / SAMPLE_RATE_HZ / len(drops))
        train = np.zeros(num_samples)
        train[rng.integers(num_samples, size=count)] = rng.exponential(1.0, count)
        mix += oaconvolve(train, drop)[:num_samples]
    return mix


def rain(rng: Generator, seconds: float) -> np.ndarray:
    """A bright hiss with countless drops crackling in it."""
    num_samples = samples(seconds)
    hiss = noise(rng, num_samples, rng.uniform(900, 1600), rng.uniform(4500, 6500))
    drops = [ring(160, rng.uniform(1500, 5500), rng.uniform(0.0006, 0.002)) for _ in range(6)]
    crackle = _showered(rng, num_samples, rng.uniform(120, 400), drops)
    swell = curve(rng, num_samples, 1.5, 0.8, 1.0)
    return faded(swell * (at_peak(hiss, 0.35) + at_peak(crackle, rng.uniform(0.5, 0.9))), 0.03)


def wind(rng: Generator, seconds: float) -> np.ndarray:
    """Dark noise that swells in gusts, with a hollow whistle that wanders."""
    num_samples = samples(seconds)
    dark = band(noise(rng, num_samples, 60, rng.uniform(300, 600)), None, 700)
    gust = curve(rng, num_samples, rng.uniform(0.8, 1.6), 0.08, 1.0)
    howl_hz = rng.uniform(300, 600) * (0.7 + 0.8 * gust)
    breath = band(noise(rng, num_samples), None, rng.uniform(15, 40))
    howl = np.sin(phase(howl_hz)) * breath
    return faded(gust * (at_peak(dark, 0.7) + gust * at_peak(howl, rng.uniform(0.3, 0.7))), 0.05)


def thunder(rng: Generator, seconds: float) -> np.ndarray:
    """A crack, then rolling blows in the lowest octaves that die away."""
    num_samples = samples(seconds)
    rumble = noise(rng, num_samples, 28, rng.uniform(90, 170))
    envelope, onset_s = np.zeros(num_samples), rng.uniform(0.05, 0.3)
    crack = noise(rng, samples(0.25), 200, 2500) * decay(samples(0.25), rng.uniform(0.03, 0.07))
    mix = np.zeros(num_samples)
    add_at(mix, at_peak(crack), samples(onset_s), rng.uniform(0.2, 0.6))
    strength = 1.0
    while onset_s < seconds:
        add_at(envelope, decay(num_samples, rng.uniform(0.3, 0.7)), samples(onset_s), strength)
        strength *= rng.uniform(0.55, 0.9)
        onset_s += rng.uniform(0.15, 0.5)
    return faded(mix + at_peak(rumble * band(envelope, None, 12)), 0.05)


def engine(rng: Generator, seconds: float) -> np.ndarray:
    """A low row of harmonics, rough from stroke to stroke, idling or speeding up and down."""
    num_samples = samples(seconds)
    spread = rng.uniform(0.03, 0.35)
    angle = phase(rng.uniform(38, 85) * curve(rng, num_samples, 0.7, 1 - spread, 1 + spread))
    strengths = rng.uniform(0.3, 1.0, 24) / np.arange(1, 25) ** 0.6
    rough = 1 + 0.35 * at_peak(noise(rng, num_samples, None, 40))
    hum = at_peak(harmonics(angle, strengths) * rough)
    exhaust = noise(rng, num_samples, 150, 1500) * (0.6 + 0.4 * np.sin(angle))
    return faded(hum + at_peak(exhaust, rng.uniform(0.15, 0.35)), 0.05)


def running_water(rng: Generator, seconds: float) -> np.ndarray:
    """A tap: a mid-range rush with bubbles, short tones that rise in pitch."""
    num_samples = samples(seconds)
    rush = noise(rng, num_samples, rng.uniform(250, 450), rng.uniform(1400, 2200))
    rush *= curve(rng, num_samples, 9, 0.6, 1.0)
    bubbles = []
    for _ in range(8):
        length = samples(rng.uniform(0.02, 0.06))
        rising = rng.uniform(350, 1100) * np.linspace(1, rng.uniform(1.2, 1.7), length)
        bubbles.append(np.sin(phase(rising)) * np.hanning(length))
    gurgle = _showered(rng, num_samples, rng.uniform(25, 60), bubbles)
    return faded(at_peak(rush, 0.6) + at_peak(gurgle, rng.uniform(0.5, 0.9)), 0.03)


def applause(rng: Generator, seconds: float) -> np.ndarray:
    """Many hands: short bursts around 1 to 2 kHz at random, swelling and thinning out."""
    num_samples = samples(seconds)
    claps = []
    for _ in range(8):
        centre_hz = rng.uniform(800, 2000)
        burst = noise(rng, samples(0.04), centre_hz * 0.7, centre_hz * 1.6)
        claps.append(at_peak(burst * decay(len(burst), rng.uniform(0.004, 0.008))))
    crowd = _showered(rng, num_samples, rng.uniform(35, 110), claps)
    return faded(crowd * curve(rng, num_samples, 1.0, 0.6, 1.0), 0.08)


def white_noise(rng: Generator, seconds: float) -> np.ndarray:
    """Flat and even: the one texture without any shape."""
    return faded(noise(rng, samples(seconds)), 0.02)


def silence(rng: Generator, seconds: float) -> np.ndarray:
    """A noise floor that no one hears; its level is meant and must not be raised."""
    return SILENCE_RMS * noise(rng, samples(seconds))
