"""Speech shards: one sound file of many utterances beside a JSON line for each of them.

A line holds `text`, `language`, `voice`, `speed`, `phones` (one letter each, Kokoro's alphabet),
`frames` (the length of each phone in units of 25 ms, one more at both ends for the silence around),
and `start` and `samples`, its place in the file at 24 kHz.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

SAMPLE_RATE = 24_000
UNIT_SAMPLES = 600  # Kokoro counts in 25 ms
LEAD_UNITS, TAIL_UNITS = 3, 4  # silence that is kept before the first and after the last phone
TAIL_LEVEL = 0.02  # of the peak: what is softer at the end is silence
PUNCTUATION = frozenset(" .,;:!?…—-\"'()“”«»¿¡")


@dataclass(frozen=True)
class Utterance:
    """One spoken sentence, cut to little silence.

    onsets: where each phone begins, in units of 25 ms from the cut; the last entry is the end of
    the last phone. start, samples: place of the cut in the shard.
    """

    text: str
    language: str
    voice: str
    phones: str
    onsets: tuple[int, ...]
    start: int
    samples: int


def read_lines(path: Path) -> Iterator[Utterance]:
    """The utterances of a shard's .jsonl."""
    for line in path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        yield cut_silence(values)


def cut_silence(values: dict) -> Utterance:
    """An utterance of a shard's line, without most of the silence around it."""
    phones, frames = values["phones"], values["frames"]
    first = max(0, frames[0] - LEAD_UNITS)
    onsets = np.cumsum(frames)[: len(phones) + 1] - first
    spoken = [i for i, phone in enumerate(phones) if phone not in PUNCTUATION]
    end = min(int(onsets[spoken[-1] + 1]), sum(frames) - first)
    return Utterance(
        values["text"],
        values["language"],
        values["voice"],
        phones,
        tuple(int(onset) for onset in onsets),
        values["start"] + first * UNIT_SAMPLES,
        end * UNIT_SAMPLES,
    )


def read_sound(path: Path) -> np.ndarray:
    """(N,) int16 at 24 kHz of a whole shard, whatever its format."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def read_shards(
    folders: Sequence[Path], kinds: Sequence[str]
) -> Iterator[tuple[Utterance, np.ndarray]]:
    """Every utterance of the shards whose names begin with one of `kinds`, with its (N,) int16."""
    for folder in folders:
        for lines in sorted(folder.glob("*.jsonl")):
            if not lines.name.startswith(tuple(kinds)):
                continue
            sound = read_sound(lines.with_suffix(".opus"))
            for utterance in read_lines(lines):
                yield cut_tail(utterance, sound)


def cut_tail(utterance: Utterance, sound: np.ndarray) -> tuple[Utterance, np.ndarray]:
    """Drops the silence that Kokoro counts to the last phone; returns the (N,) int16, too."""
    samples = sound[utterance.start : utterance.start + utterance.samples]
    levels = np.abs(samples.reshape(-1, UNIT_SAMPLES).astype(np.int32)).max(1)
    loud = int(np.flatnonzero(levels > levels.max() * TAIL_LEVEL)[-1]) + 1
    units = min(len(levels), loud + TAIL_UNITS)
    onsets = tuple(min(onset, loud) for onset in utterance.onsets)
    return replace(utterance, onsets=onsets, samples=units * UNIT_SAMPLES), samples[
        : units * UNIT_SAMPLES
    ]
