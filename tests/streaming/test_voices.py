"""Several voices at one detokenizer: who is heard first, and what computing together changes."""

import threading

import numpy as np
import pytest

from kimi_demo.checkpoint import locate
from kimi_demo.engine.voices import Voices
from kimi_demo.model.detokenizer.loading import load_detokenizer
from kimi_demo.model.detokenizer.streaming import sound_together

CODES = [[(7 * n + 131 * row) % 2048 for n in range(24 + 3 * row)] for row in range(3)]


@pytest.fixture(scope="module")
def detokenizer():
    layout = locate.find("nano")
    return load_detokenizer(layout.flow, layout.vocoder)


class Listener:
    def __init__(self):
        self.pieces, self.failure, self.done = [], None, threading.Event()

    def __call__(self, piece):
        if isinstance(piece, np.ndarray):
            self.pieces.append(piece)
        else:
            self.failure = piece
            self.done.set()

    @property
    def sound(self):
        return np.concatenate(self.pieces)


def spoken(voices, codes, seed):
    """A voice that was told all its codes, and its listener."""
    listener = Listener()
    voice = voices.open(seed, listener)
    for code in codes:
        voice.push(code)
    voice.finish()
    return listener


@pytest.mark.parametrize(("workers", "together"), [(1, 1), (2, 1), (1, 3)])
def test_everybody_sounds_as_alone(detokenizer, workers, together):
    voices = Voices(detokenizer, workers, together)
    listeners = [spoken(voices, codes, row) for row, codes in enumerate(CODES)]
    for row, listener in enumerate(listeners):
        assert listener.done.wait(60)
        assert listener.failure is None
        alone = detokenizer.detokenize(CODES[row], row)
        if together == 1:
            np.testing.assert_array_equal(listener.sound, alone)
        else:  # sums of a larger batch may round differently
            np.testing.assert_allclose(listener.sound, alone, atol=1e-4)
    voices.close()


def test_chunks_of_one_shape_are_computed_in_one_call(detokenizer):
    streams = [detokenizer.open(row) for row in range(3)]
    for stream, codes in zip(streams, CODES, strict=True):
        stream.add(codes)
    assert len({stream.shape for stream in streams}) == 1
    together = sound_together(streams)
    for row, piece in enumerate(together):
        alone = detokenizer.open(row)
        alone.add(CODES[row])
        np.testing.assert_allclose(piece, alone.sound(), atol=1e-4)


def test_who_has_no_sound_yet_comes_before_who_has_some_ahead(detokenizer):
    """One worker, held up in its first chunk until a second voice is complete."""
    order, started, go_on = [], threading.Event(), threading.Event()

    def first(piece):
        if isinstance(piece, np.ndarray):
            order.append("first")
            started.set()
            go_on.wait(10)

    def second(piece):
        if isinstance(piece, np.ndarray):
            order.append("second")
        else:
            done.set()

    done = threading.Event()
    voices = Voices(detokenizer)
    voice = voices.open(0, first)
    for code in CODES[0] * 3:
        voice.push(code)
    voice.finish()
    assert started.wait(30)
    late = voices.open(1, second)
    for code in CODES[1]:
        late.push(code)
    late.finish()
    go_on.set()
    assert done.wait(60)
    assert order[:2] == ["first", "second"]
    voices.close()


def test_a_voice_that_is_cancelled_says_nothing_more(detokenizer):
    voices, listener = Voices(detokenizer), Listener()
    voice = voices.open(0, listener)
    voice.push(5)
    voice.cancel()
    assert not listener.done.wait(0.3)
    assert not listener.pieces
    other = spoken(voices, CODES[0], 0)
    assert other.done.wait(60)
    voices.close()


def test_a_code_outside_the_vocabulary_fails_its_own_voice_alone(detokenizer):
    voices = Voices(detokenizer)
    voice = voices.open(0, Listener())
    with pytest.raises(ValueError, match="outside"):
        voice.push(10**6)
    assert spoken(voices, CODES[0], 0).done.wait(60)
    voices.close()
