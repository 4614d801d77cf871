"""A sound is encoded once, and not everything is remembered for ever."""

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.engine.ears import RememberingListener
from kimi_demo.model.prompt import Heard

HEARD_BYTES = 4 * 4 + 3 * 8  # what `Ear` returns


class Ear:
    """Counts how often each sound was listened to."""

    def __init__(self):
        self.heard = []

    def __call__(self, audio):
        self.heard.append(float(audio.waveform[0]))
        return Heard([1, 2, 3], torch.full((1, 4), self.heard[-1]))


def sound(level, sample_rate=16_000):
    return Audio(np.full(8, level, np.float32), sample_rate)


def test_the_same_sound_is_encoded_once():
    ear = Ear()
    listener = RememberingListener(ear)
    first, again = listener(sound(0.25)), listener(sound(0.25))
    assert again is first
    assert ear.heard == [0.25]


def test_other_samples_and_other_rates_are_other_sounds():
    ear = Ear()
    listener = RememberingListener(ear)
    assert listener(sound(0.25)).features[0, 0] == 0.25
    assert listener(sound(0.5)).features[0, 0] == 0.5
    listener(sound(0.25, 24_000))
    assert ear.heard == [0.25, 0.5, 0.25]


@pytest.mark.parametrize("limit", [{"max_sounds": 2}, {"max_bytes": 2 * HEARD_BYTES}])
def test_the_one_not_needed_for_longest_is_forgotten(limit):
    ear = Ear()
    listener = RememberingListener(ear, **limit)
    for level in (0.25, 0.5, 0.25, 0.75):  # 0.5 has to go
        listener(sound(level))
    listener(sound(0.25))
    assert ear.heard == [0.25, 0.5, 0.75]
    listener(sound(0.5))
    assert ear.heard == [0.25, 0.5, 0.75, 0.5]


def test_a_sound_beyond_the_limit_is_not_kept_and_drives_nothing_out():
    ear = Ear()
    listener = RememberingListener(ear, max_bytes=HEARD_BYTES - 1)
    listener(sound(0.25))
    listener(sound(0.25))
    assert ear.heard == [0.25, 0.25]


def test_a_failure_is_not_remembered():
    failures = [RuntimeError("deaf")]

    def ear(audio):
        if failures:
            raise failures.pop()
        return Heard([1], torch.zeros(1, 4))

    listener = RememberingListener(ear)
    with pytest.raises(RuntimeError):
        listener(sound(0.25))
    assert listener(sound(0.25)).codes == [1]
