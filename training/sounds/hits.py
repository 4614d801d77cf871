"""Sounds made of single blows: steps, knocks, ticks, keys, drums, hammers, fireworks."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from training.sounds.signals import (
    add_at,
    at_peak,
    burst,
    coloured,
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


def footsteps(rng: Generator, seconds: float) -> np.ndarray:
    """Heel and toe at a walking or running pace, on a hard floor, on wood or on gravel."""
    ground, brightness_hz = pick(rng, ("hard", "wood", "gravel")), rng.uniform(350, 1200)
    wood_hz, grains = rng.uniform(90, 180), rng.uniform(0.25, 0.7)

    def step(index: int) -> np.ndarray:
        mix = np.zeros(samples(0.3))
        add_at(mix, burst(rng, 50, brightness_hz, rng.uniform(0.015, 0.025)), 0)
        toe = samples(rng.uniform(0.06, 0.12))
        add_at(mix, burst(rng, 120, 2 * brightness_hz, 0.015), toe, rng.uniform(0.2, 0.6))
        if ground == "wood":
            mix += ring(len(mix), wood_hz * rng.uniform(0.95, 1.05), 0.03)
        if ground == "gravel":
            for _ in range(6):
                start = samples(rng.uniform(0, 0.15))
                add_at(mix, burst(rng, 1200, 5500, 0.008), start, grains * rng.uniform(0.2, 1))
        return mix * (1.0 if index % 2 else rng.uniform(0.7, 0.95))

    onsets = steady_onsets(rng, seconds, rng.uniform(0.3, 0.66), 0.05)
    return faded(struck(samples(seconds), onsets, step))


def knocks(rng: Generator) -> Callable[[], np.ndarray]:
    """One blow after the other of the same knuckles on the same door."""
    wood_hz, dying_s = rng.uniform(120, 450), rng.uniform(0.012, 0.035)
    modes = [(ratio * rng.uniform(0.9, 1.1), rng.uniform(0.2, 0.7)) for ratio in (1.6, 2.3, 3.4)]

    def knock() -> np.ndarray:
        length = samples(0.2)
        mix = ring(length, wood_hz * rng.uniform(0.98, 1.02), dying_s)
        for ratio, strength in modes:
            mix += strength * ring(length, ratio * wood_hz, dying_s / ratio)
        add_at(mix, burst(rng, 600, 3500, 0.003), 0, rng.uniform(0.3, 0.9))
        return mix * rng.uniform(0.7, 1.0)

    return knock


def hammer(rng: Generator, seconds: float) -> np.ndarray:
    """Blows on a nail: a crack, and metal that rings for a moment."""
    metal_hz = rng.uniform(1500, 4000)

    def blow(_: int) -> np.ndarray:
        mix = np.zeros(samples(0.3))
        add_at(mix, burst(rng, 200, 5000, rng.uniform(0.006, 0.015)), 0)
        mix += 0.4 * ring(len(mix), metal_hz, 0.025) + 0.3 * ring(len(mix), 1.51 * metal_hz, 0.02)
        return mix * rng.uniform(0.6, 1.0)

    onsets = steady_onsets(rng, seconds, rng.uniform(0.3, 0.7), 0.08)
    return faded(struck(samples(seconds), onsets, blow))


def clock_tick(rng: Generator, seconds: float) -> np.ndarray:
    """Tick and tock: tiny hard clicks, high and a little lower in turn, in strict time."""
    click_hz, tock_ratio = rng.uniform(1800, 4500), rng.uniform(0.7, 0.95)
    wood = rng.uniform(0.1, 0.6)

    def click(index: int) -> np.ndarray:
        ratio = 1.0 if index % 2 == 0 else tock_ratio
        length = samples(0.06)
        body = ring(length, ratio * click_hz, 0.003) + 0.7 * ring(length, 1.63 * click_hz, 0.002)
        add_at(body, burst(rng, 2000, 7000, 0.002), 0, 0.5)
        return ratio * (body + wood * ring(length, 0.21 * ratio * click_hz, 0.01))

    onsets = steady_onsets(rng, seconds, pick(rng, (0.25, 0.3, 0.4, 0.5, 0.5, 1.0)), 0.0)
    return faded(struck(samples(seconds), onsets, click))


def _key(rng: Generator) -> np.ndarray:
    mix = np.zeros(samples(0.12))
    add_at(mix, burst(rng, rng.uniform(800, 2000), 6500, rng.uniform(0.003, 0.006)), 0)
    add_at(mix, ring(samples(0.05), rng.uniform(150, 350), 0.008), 0, rng.uniform(0.2, 0.7))
    add_at(mix, burst(rng, 2500, 7000, 0.003), samples(rng.uniform(0.05, 0.08)), 0.35)
    return mix


def typing(rng: Generator, seconds: float) -> np.ndarray:
    """Keys at uneven moments, several a second, the release of each heard after its stroke."""
    pace_s, keys = rng.uniform(0.10, 0.18), [_key(rng) for _ in range(6)]
    onsets, onset_s = [], rng.uniform(0.02, 0.1)
    while onset_s < seconds - 0.1:
        onsets.append(onset_s)
        onset_s += 0.05 + rng.exponential(pace_s - 0.05) + (0.3 if rng.random() < 0.06 else 0)
    strengths = rng.uniform(0.3, 1.0, len(onsets) + 1)
    mix = struck(samples(seconds), onsets, lambda index: strengths[index] * pick(rng, keys))
    return faded(mix)


def drum_beat(rng: Generator, seconds: float) -> np.ndarray:
    """Bass drum, snare, toms and hi-hat in eighths at 70 to 160 beats a minute; or toms alone."""
    bass_hz, toms_only = rng.uniform(45, 75), rng.random() < 0.25
    falling = bass_hz * (1 + rng.uniform(0.8, 2) * decay(samples(0.4), 0.03))
    bass = np.sin(phase(falling)) * decay(len(falling), rng.uniform(0.07, 0.15))
    add_at(bass, burst(rng, 500, 4000, 0.003), 0, 0.3)
    snare = burst(rng, 800, 6500, rng.uniform(0.05, 0.1))
    add_at(snare, ring(samples(0.2), rng.uniform(170, 230), 0.05), 0, 0.6)
    hat = burst(rng, 5000, 7500, rng.uniform(0.015, 0.08))
    tom = np.zeros(samples(0.6))
    tom += ring(len(tom), rng.uniform(80, 160), 0.15) + 0.4 * ring(len(tom), 260, 0.05)
    add_at(tom, burst(rng, 200, 5000, 0.008), 0, 0.5)
    bass_at = {0, 4} | {int(eighth) for eighth in rng.integers(8, size=int(rng.integers(3)))}

    def blow(index: int) -> np.ndarray:
        mix = np.zeros(samples(0.7))
        if toms_only:
            add_at(mix, tom, 0, rng.uniform(0.6, 1))
            return mix
        add_at(mix, hat, 0, 0.25)
        if index % 8 in (2, 6):
            add_at(mix, snare, 0, 0.7)
        elif index % 8 in bass_at:
            add_at(mix, bass, 0)
        return mix

    onsets = steady_onsets(rng, seconds, 30 / rng.uniform(70, 160), 0.01)
    return faded(struck(samples(seconds), onsets, blow))


def fireworks(rng: Generator, seconds: float) -> np.ndarray:
    """Dull bangs at a distance, each with a crackle after it."""
    mix, onset_s = np.zeros(samples(seconds)), rng.uniform(0.05, 0.4)
    while onset_s < seconds - 0.3:
        boom_s = rng.uniform(0.04, 0.15)
        boom = coloured(rng, samples(8 * boom_s), rng.uniform(0.5, 1.0))
        add_at(mix, at_peak(boom * decay(len(boom), boom_s)), samples(onset_s), rng.uniform(0.4, 1))
        for _ in range(int(rng.integers(0, 40))):
            moment_s = onset_s + rng.uniform(0.1, 1.0)
            snap = at_peak(noise(rng, 80) * decay(80, 0.001))
            add_at(mix, snap, samples(moment_s), rng.uniform(0.05, 0.3))
        onset_s += rng.uniform(0.15, 1.1)
    return faded(mix, 0.03)
