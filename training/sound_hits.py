"""Sounds made of single blows: steps, knocks, ticks, keys, drums."""

import numpy as np
from numpy.random import Generator

from training.sound_signals import (
    add_at,
    at_peak,
    decay,
    faded,
    noise,
    phase,
    pick,
    ring,
    samples,
    steady_onsets,
    struck,
)


def _burst(rng: Generator, low_hz: float, high_hz: float, time_constant_s: float) -> np.ndarray:
    """A puff of noise with a peak of 1."""
    num_samples = samples(6 * time_constant_s)
    return at_peak(noise(rng, num_samples, low_hz, high_hz) * decay(num_samples, time_constant_s))


def footsteps(rng: Generator, seconds: float) -> np.ndarray:
    """Heel and toe at a walking pace, on a hard floor or on gravel."""
    gravel, brightness_hz = rng.random() < 0.4, rng.uniform(350, 900)

    def step(index: int) -> np.ndarray:
        mix = np.zeros(samples(0.3))
        add_at(mix, _burst(rng, 50, brightness_hz, 0.022), 0)
        toe = samples(rng.uniform(0.08, 0.12))
        add_at(mix, _burst(rng, 120, 2 * brightness_hz, 0.015), toe, rng.uniform(0.25, 0.5))
        if gravel:
            add_at(mix, _burst(rng, 1200, 4500, 0.035), samples(0.02), rng.uniform(0.25, 0.5))
        return mix * (1.0 if index % 2 else rng.uniform(0.75, 0.95))

    onsets = steady_onsets(rng, seconds, rng.uniform(0.42, 0.66), 0.04)
    return faded(struck(samples(seconds), onsets, step))


def knocking(rng: Generator, seconds: float) -> np.ndarray:
    """Groups of two to five quick knocks on wood."""
    wood_hz, interval_s = rng.uniform(220, 480), rng.uniform(0.13, 0.22)

    def knock(_: int) -> np.ndarray:
        length = samples(0.15)
        mix = ring(length, wood_hz, 0.022) + 0.6 * ring(length, 2.3 * wood_hz, 0.012)
        add_at(mix, _burst(rng, 600, 3500, 0.003), 0, 0.7)
        return mix * rng.uniform(0.75, 1.0)

    onsets, onset_s = [], rng.uniform(0.05, 0.25)
    while onset_s < seconds - 0.2:
        for _ in range(int(rng.integers(2, 6))):
            onsets.append(onset_s)
            onset_s += interval_s * rng.uniform(0.92, 1.08)
        onset_s += rng.uniform(0.35, 0.8)
    return faded(struck(samples(seconds), onsets, knock))


def clock_tick(rng: Generator, seconds: float) -> np.ndarray:
    """Tick and tock: tiny hard clicks, high and a little lower in turn, in strict time."""
    click_hz, tock_ratio = rng.uniform(2300, 4200), rng.uniform(0.7, 0.85)

    def click(index: int) -> np.ndarray:
        ratio = 1.0 if index % 2 == 0 else tock_ratio
        length = samples(0.04)
        body = ring(length, ratio * click_hz, 0.003) + 0.7 * ring(length, 1.63 * click_hz, 0.002)
        return ratio * (body + 0.3 * ring(length, 0.31 * ratio * click_hz, 0.006))

    onsets = steady_onsets(rng, seconds, rng.uniform(0.24, 0.52), 0.0)
    return faded(struck(samples(seconds), onsets, click))


def _key(rng: Generator) -> np.ndarray:
    mix = np.zeros(samples(0.12))
    add_at(mix, _burst(rng, 1500, 6000, 0.004), 0)
    add_at(mix, ring(samples(0.05), rng.uniform(180, 320), 0.008), 0, 0.4)
    add_at(mix, _burst(rng, 2500, 7000, 0.003), samples(rng.uniform(0.05, 0.08)), 0.35)
    return mix


def typing(rng: Generator, seconds: float) -> np.ndarray:
    """Keys at uneven moments, several a second, the release of each heard after its stroke."""
    pace_s, keys = rng.uniform(0.10, 0.15), [_key(rng) for _ in range(4)]

    onsets, onset_s = [], rng.uniform(0.02, 0.1)
    while onset_s < seconds - 0.1:
        onsets.append(onset_s)
        onset_s += 0.05 + rng.exponential(pace_s - 0.05) + (0.25 if rng.random() < 0.06 else 0)
    return faded(
        struck(samples(seconds), onsets, lambda _: rng.uniform(0.4, 1.0) * pick(rng, keys))
    )


def drum_beat(rng: Generator, seconds: float) -> np.ndarray:
    """Bass drum, snare and hi-hat in eighths at 85 to 150 beats a minute."""
    bass_hz = rng.uniform(45, 60)
    falling = bass_hz * (1 + 1.8 * decay(samples(0.3), 0.03))
    bass = np.sin(phase(falling)) * decay(len(falling), rng.uniform(0.07, 0.12))
    snare = _burst(rng, 800, 6500, rng.uniform(0.05, 0.08))
    add_at(snare, ring(samples(0.2), rng.uniform(170, 230), 0.05), 0, 0.6)
    hat = _burst(rng, 5500, 7800, rng.uniform(0.015, 0.03))
    bass_at = {0, 4} | {int(eighth) for eighth in rng.integers(8, size=int(rng.integers(3)))}

    def blow(index: int) -> np.ndarray:
        mix = np.zeros(samples(0.5))
        add_at(mix, hat, 0, 0.25)
        if index % 8 in (2, 6):
            add_at(mix, snare, 0, 0.7)
        elif index % 8 in bass_at:
            add_at(mix, bass, 0)
        return mix

    onsets = steady_onsets(rng, seconds, 30 / rng.uniform(85, 150), 0.005)
    return faded(struck(samples(seconds), onsets, blow))
