"""What training reads of speech shards, computed once and kept in flat arrays that are mapped.

Everything is counted in *positions* of 80 ms, the rate of semantic tokens. An utterance that starts
at position p and lasts n positions owns these rows:

    wave16.npy     [1280p : 1280(p+n)]  int16           16 kHz, as the encoders hear it
    mel24.npy      [4p : 4(p+n)]        (80,) float16   log-mel as the vocoder speaks it, 50 Hz
    letters.npy    [4p : 4(p+n)]        uint8           phone letter at each 20 ms, see `alphabet`
    mel16.npy      [8p : 8(p+n)]        (80,) float16   log-mel as the encoders hear it, 100 Hz

What the frozen ears make of it lies beside them: see `hearing`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soxr
import torch

from kimi_demo.model.mel import log_mel
from training import sizes
from training.alphabet import STEP_SAMPLES, frame_letters
from training.shards import SAMPLE_RATE, Utterance, read_shards

POSITION_SAMPLES = 1280  # at 16 kHz
MEL24_PER_POSITION = 4
FRAME_SAMPLES = STEP_SAMPLES // MEL24_PER_POSITION
_FIELDS = ("wave16", np.int16), ("mel24", np.float16), ("letters", np.uint8)


@dataclass(frozen=True)
class Entry:
    """An utterance and its place. start, length: positions."""

    utterance: Utterance
    start: int
    length: int

    def rows(self, per_position: int = 1) -> slice:
        """Its rows in an array with that many rows a position."""
        return slice(self.start * per_position, (self.start + self.length) * per_position)


class Cache:
    """One folder of arrays and the list of utterances in it."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.entries = list(self._read_index())

    def _read_index(self) -> Iterator[Entry]:
        for line in (self.root / "index.jsonl").read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            utterance = values.pop("utterance")
            utterance["onsets"] = tuple(utterance["onsets"])
            yield Entry(Utterance(**utterance), **values)

    @property
    def positions(self) -> int:
        """Length of the arrays that have a row a position."""
        return max((entry.start + entry.length for entry in self.entries), default=0)

    @cache  # noqa: B019 - a cache lives as long as its command
    def array(self, name: str) -> np.ndarray:
        """One of the arrays above, mapped read-only."""
        return np.load(self.root / f"{name}.npy", mmap_mode="r")

    def waveform(self, entry: Entry) -> np.ndarray:
        """(1280 n,) float32 at 16 kHz."""
        return self.array("wave16")[entry.rows(POSITION_SAMPLES)] / np.float32(32768)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shards", type=Path, nargs="+", required=True)
    parser.add_argument("--kinds", nargs="+", default=["out-en", "out-zh", "hear"])
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Computes the first three arrays of all shards."""
    torch.set_num_threads(1)
    build(read_shards(args.shards, args.kinds), args.out)


def build(sounds: Iterator[tuple[Utterance, np.ndarray]], out: Path) -> Cache:
    """Writes a cache; sounds: utterances with their (N,) int16 at 24 kHz."""
    out.mkdir(parents=True, exist_ok=True)
    files = [(out / f"{name}.raw").open("wb") for name, _ in _FIELDS]
    start = 0
    with (out / "index.jsonl").open("w", encoding="utf-8") as index:
        for utterance, samples in sounds:
            length = -(-len(samples) // STEP_SAMPLES)
            padded = np.zeros(length * STEP_SAMPLES, np.float32)
            padded[: len(samples)] = samples / np.float32(32768)
            frames = length * MEL24_PER_POSITION
            mel = log_mel(torch.from_numpy(padded)[None], sizes.vocoder_config())[0].T
            letters = frame_letters(utterance, frames, FRAME_SAMPLES)
            for file, values in zip(files, (_heard(padded), mel.numpy(), letters), strict=True):
                kind = dict(_FIELDS)[Path(file.name).stem]
                file.write(np.asarray(values).astype(kind).tobytes())
            entry = Entry(utterance, start, length)
            index.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            start += length
    for file, (name, kind) in zip(files, _FIELDS, strict=True):
        file.close()
        shape = (-1, sizes.MEL_BINS) if name == "mel24" else (-1,)
        np.save(out / f"{name}.npy", np.memmap(file.name, kind, mode="r").reshape(shape))
        Path(file.name).unlink()
    return Cache(out)


def _heard(padded: np.ndarray) -> np.ndarray:
    """(N,) at 24 kHz to (2 N / 3,) int16 at 16 kHz."""
    low = soxr.resample(padded, SAMPLE_RATE, 16_000)
    whole = len(padded) * 2 // 3
    low = np.pad(low, (0, max(0, whole - len(low))))[:whole]
    return (low.clip(-1, 1) * 32767).round()
