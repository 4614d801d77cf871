"""Where in a sound somebody speaks: voice activity, cut into pieces that a model can hear."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

from kimi_demo.audio import INPUT_SAMPLE_RATE, SILENCE_PEAK, Audio

# Silero's detector at 16 kHz: frames, each behind the last samples of the one before.
FRAME_SAMPLES, CONTEXT_SAMPLES = 512, 64
FRAME_S = FRAME_SAMPLES / INPUT_SAMPLE_RATE
BLOCK_FRAMES = 1024  # in one call; bounds the memory that a long recording takes
# Probabilities at which speech begins and goes on, as in Silero's own `get_speech_timestamps`.
BEGINS, GOES_ON = 0.5, 0.35
PADDING_S = 0.15
JOINED_GAP_S = 0.3
LEAST_SPEECH_S = 0.15
# The detector is deaf to quiet voices; more gain than this would lift noise to the level of speech.
WORKING_PEAK, MOST_GAIN = 0.5, 8.0
# Of a microphone before it was heard; and how fast its loudest sound is forgotten, each frame.
USUAL_PEAK, PEAK_DECAY = 0.25, 0.997

Run = tuple[int, int]


@dataclass(frozen=True)
class Span:
    """From start_s to end_s of a sound."""

    start_s: float
    end_s: float

    def of(self, audio: Audio) -> Audio:
        first, last = (round(s * audio.sample_rate) for s in (self.start_s, self.end_s))
        return Audio(audio.waveform[first:last], audio.sample_rate)


def speech_spans(audio: Audio, max_span_s: float) -> list[Span]:
    """Speech in order, none of it twice, no span longer than max_span_s; empty if there is none.

    Pauses below 0.3 s stay inside; a span that would be too long is cut where it is quietest.
    """
    heard = audio.resampled(INPUT_SAMPLE_RATE)
    frames = _frames(heard.waveform)
    most = _count(max_span_s - 2 * PADDING_S)
    speech = _joined(_runs(_probabilities(frames)))
    runs = [piece for run in speech for piece in _cut(run, frames, most)]
    return [span for span in _padded(runs, heard.duration_s) if _audible(span.of(heard))]


def without_silence(audio: Audio) -> Audio:
    """From the first to the last speech, and a little around it; all of it if there is no speech.

    A microphone hears the silence before and after a question, too.
    """
    spans = speech_spans(audio, max_span_s=audio.duration_s + 1.0)
    return Span(spans[0].start_s, spans[-1].end_s).of(audio) if spans else audio


def _frames(waveform: np.ndarray) -> np.ndarray:
    """(T,) to (N, 512), the last one filled up with silence."""
    return np.pad(waveform, (0, -len(waveform) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)


def _probabilities(frames: np.ndarray) -> np.ndarray:
    """(N,) float32: how likely each frame is speech."""
    gain = min(MOST_GAIN, WORKING_PEAK / max(float(np.abs(frames).max(initial=0.0)), 1e-9))
    before = np.zeros((1, CONTEXT_SAMPLES), np.float32)
    context = np.concatenate([before, frames[:, -CONTEXT_SAMPLES:]])[:-1]
    windows = gain * np.concatenate([context, frames], axis=1)
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(windows), BLOCK_FRAMES):
        heard = {"input": windows[start : start + BLOCK_FRAMES], "h": hidden, "c": cell}
        speech, hidden, cell = map(np.asarray, _detector().run(None, heard))
        found.append(speech)
    return np.concatenate(found)


class SpeechStream:
    """Silero's detector for a sound that still grows, a frame of 32 ms after the other."""

    def __init__(self) -> None:
        self._waiting = np.zeros(0, np.float32)  # less than a frame
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._hidden = self._cell = np.zeros((1, 1, 128), np.float32)
        self._peak = USUAL_PEAK

    def push(self, samples: np.ndarray) -> np.ndarray:
        """samples: (T,) float32 at 16 kHz, any number. Gives (N,) float32: how likely each frame
        that is complete now is speech."""
        waiting = np.concatenate([self._waiting, samples])
        whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
        frames, self._waiting = waiting[:whole].reshape(-1, FRAME_SAMPLES), waiting[whole:]
        if not len(frames):
            return np.zeros(0, np.float32)
        loudest = float(np.abs(frames).max())
        self._peak = max(loudest, self._peak * PEAK_DECAY ** len(frames), USUAL_PEAK / MOST_GAIN)
        before = np.concatenate([self._context[None], frames[:, -CONTEXT_SAMPLES:]])
        self._context = before[-1]
        gain = min(MOST_GAIN, WORKING_PEAK / self._peak)
        heard = {
            "input": gain * np.concatenate([before[:-1], frames], axis=1),
            "h": self._hidden,
            "c": self._cell,
        }
        speech, self._hidden, self._cell = map(np.asarray, _detector().run(None, heard))
        return speech


@cache
def _detector() -> onnxruntime.InferenceSession:
    """The model in the package's files; the package itself would import torch."""
    package = find_spec("silero_vad")
    assert package is not None
    path = Path(package.origin or "").parent / "data" / "silero_vad_16k_sequence.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # frames follow each other
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _runs(probabilities: np.ndarray) -> list[Run]:
    likely = np.concatenate([[False], probabilities >= GOES_ON, [False]])
    edges = np.flatnonzero(np.diff(likely.astype(np.int8))).reshape(-1, 2)
    return [(s, e) for s, e in edges.tolist() if probabilities[s:e].max() >= BEGINS]


def _joined(runs: Iterable[Run]) -> list[Run]:
    """Runs with short pauses become one; what is then still too short for a word goes."""
    joined: list[Run] = []
    for start, end in runs:
        if joined and (start - joined[-1][1]) * FRAME_S < JOINED_GAP_S:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if (end - start) * FRAME_S >= LEAST_SPEECH_S]


def _cut(run: Run, frames: np.ndarray, most: int) -> Iterator[Run]:
    """The run in pieces of at most `most` frames, cut at the quietest of those that may be last."""
    start, end = run
    power = np.mean(np.square(frames[start:end]), axis=1)
    loudness = np.convolve(power, np.ones(5), "same")  # a pause, not a zero crossing
    first = start
    while end - start > most:
        low, high = start + most // 2, min(start + most, end - _count(LEAST_SPEECH_S)) + 1
        cut = low + int(np.argmin(loudness[low - first : high - first]))
        yield start, cut
        start = cut
    yield start, end


def _padded(runs: list[Run], duration_s: float) -> Iterator[Span]:
    """A little of what is around each run, yet never the same sound in two spans."""
    for index, (start, end) in enumerate(runs):
        before = runs[index - 1][1] if index else -math.inf
        after = runs[index + 1][0] if index + 1 < len(runs) else math.inf
        lead = min(PADDING_S, (start - before) * FRAME_S / 2)
        tail = min(PADDING_S, (after - end) * FRAME_S / 2)
        yield Span(max(start * FRAME_S - lead, 0.0), min(end * FRAME_S + tail, duration_s))


def _audible(audio: Audio) -> bool:
    return float(np.abs(audio.waveform).max(initial=0.0)) >= SILENCE_PEAK


def _count(seconds: float) -> int:
    return max(1, int(seconds / FRAME_S))
