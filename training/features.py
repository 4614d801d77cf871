"""What training reads of a corpus, computed once and kept in flat arrays that are mapped, not
loaded.

Everything is counted in *positions* of 80 ms, the rate of semantic tokens. An utterance that starts
at position p and lasts n positions owns these rows:

    mel16.npy      [8p : 8(p+n)]   (80,) float16   log-mel as the encoders hear it, 100 Hz
    mel24.npy      [4p : 4(p+n)]   (80,) float16   log-mel as the vocoder speaks it, 50 Hz
    phones.npy     [4p : 4(p+n)]   uint8           phone spoken at each 20 ms frame, or UNKNOWN
    events.npy     [4p : 4(p+n)]   uint64          which kinds of sound it holds, a bit each
    codes.npy      [p : p+n]       int16           semantic tokens, once the tokenizer is frozen
    acoustic.npy   [p : p+n]       (4 D,) float16  acoustic features, once that encoder is frozen
"""

from __future__ import annotations

import argparse
import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from scipy.signal import resample_poly
from transformers import WhisperFeatureExtractor

from kimi_demo.audio import INPUT_SAMPLE_RATE
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.mel import log_mel
from training import shapes
from training.corpus import Corpus, CorpusItem
from training.phones import PHONES
from training.scenes import EVENT_CLASSES

POSITION_SAMPLES = 1280
MEL16_PER_POSITION = 8
FRAMES_PER_POSITION = 4
FRAME_MS = 20
UNKNOWN = 255
HEARD_PER_VOICE = 3100  # enough to learn to listen; features of more would only cost time

_PHONE_IDS = {name: index for index, name in enumerate(PHONES)}


@dataclass(frozen=True)
class Entry:
    """Where one utterance lies, and what is known of it. start, length: positions.

    tasks: (task, question, answer) of a sound that was not made to be transcribed.
    """

    text: str
    voice: str
    start: int
    length: int
    emotion: str | None = None
    tasks: tuple[tuple[str, str, str], ...] = ()

    def rows(self, per_position: int) -> slice:
        """Its rows in an array with that many rows a position."""
        return slice(self.start * per_position, (self.start + self.length) * per_position)


class Rows:
    """Arrays of several folders as one long array; a slice must lie within one of them."""

    def __init__(self, arrays: Sequence[np.ndarray], starts: Sequence[int]) -> None:
        self._arrays, self._starts = arrays, starts

    def __getitem__(self, rows: slice) -> np.ndarray:
        part = bisect_right(self._starts, rows.start) - 1
        begin = self._starts[part]
        return self._arrays[part][rows.start - begin : rows.stop - begin]


class FeatureCache:
    """Folders of arrays and the list of utterances in them.

    Raises: FileNotFoundError if a folder holds no cache.
    """

    def __init__(self, roots: Path | Sequence[Path], voices: Sequence[str] | None = None) -> None:
        self.roots = [Path(roots)] if isinstance(roots, str | Path) else [Path(r) for r in roots]
        self.entries: list[Entry] = []
        self._starts: list[int] = []
        begin = 0
        for root in self.roots:
            found = list(_read_index(root, begin))
            self._starts.append(begin)
            begin = max((e.start + e.length for e in found), default=begin)
            self.entries += [e for e in found if voices is None or e.voice in voices]

    def __len__(self) -> int:
        return len(self.entries)

    def to_listen(self) -> list[Entry]:
        """What acoustic features are computed of: the first entries of every voice."""
        counts: Counter[str] = Counter()
        chosen = []
        for entry in self.entries:
            counts[entry.voice] += 1
            if counts[entry.voice] <= HEARD_PER_VOICE:
                chosen.append(entry)
        return chosen

    def rows(self, name: str, per_position: int) -> Rows:
        """One of the arrays above, mapped read-only."""
        arrays = [np.load(root / f"{name}.npy", mmap_mode="r") for root in self.roots]
        return Rows(arrays, [start * per_position for start in self._starts])

    @cached_property
    def mel16(self) -> Rows:
        return self.rows("mel16", MEL16_PER_POSITION)

    @cached_property
    def mel24(self) -> Rows:
        return self.rows("mel24", FRAMES_PER_POSITION)

    @cached_property
    def phones(self) -> Rows:
        return self.rows("phones", FRAMES_PER_POSITION)

    @cached_property
    def codes(self) -> Rows:
        return self.rows("codes", 1)

    @cached_property
    def acoustic(self) -> Rows:
        return self.rows("acoustic", 1)

    @cached_property
    def events(self) -> Rows:
        return self.rows("events", FRAMES_PER_POSITION)

    def batches(self, size: int, rng: random.Random, pool: int = 32) -> Iterator[list[Entry]]:
        """Endless random batches of utterances of like length."""
        while True:
            drawn = rng.sample(self.entries, min(len(self.entries), size * pool))
            drawn.sort(key=lambda entry: entry.length)
            groups = [drawn[i : i + size] for i in range(0, len(drawn) - size + 1, size)]
            rng.shuffle(groups)
            yield from groups


def _read_index(root: Path, begin: int) -> Iterator[Entry]:
    for line in (root / "index.jsonl").read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        values["tasks"] = tuple(map(tuple, values.get("tasks", ())))
        yield Entry(**{**values, "start": values["start"] + begin})


def phone_frames(item: CorpusItem, num_frames: int) -> np.ndarray:
    """(num_frames,) id of the phone at the middle of each 20 ms frame; silence after the last,
    UNKNOWN throughout where no phones are known."""
    if not item.phones:
        return np.full(num_frames, UNKNOWN, np.uint8)
    frames = np.full(num_frames, _PHONE_IDS["pau"], np.uint8)
    begin = 0
    for name, end_ms in item.phones:
        end = min(num_frames, round(end_ms / FRAME_MS))
        frames[begin:end] = _PHONE_IDS[name]
        begin = max(begin, end)
    return frames


def event_frames(item: CorpusItem, num_frames: int) -> np.ndarray:
    """(num_frames,) uint64: bit k is set while a sound of EVENT_CLASSES[k] lasts."""
    frames = np.zeros(num_frames, np.uint64)
    for name, start_ms, end_ms in item.events:
        first, last = start_ms // FRAME_MS, -(-end_ms // FRAME_MS)
        frames[first:last] |= np.uint64(1 << EVENT_CLASSES.index(name))
    return frames


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--voices", nargs="*", default=None)
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Computes mel16, mel24 and phone labels of a corpus."""
    torch.set_num_threads(1)
    build(Corpus(args.corpus, voices=args.voices), args.out)


def build(corpus: Corpus, out: Path) -> FeatureCache:
    """Writes the cache of every utterance that fits the encoders' window."""
    out.mkdir(parents=True, exist_ok=True)
    longest = shapes.WINDOW_POSITIONS
    lengths = [-(-int(n) // POSITION_SAMPLES) for n in corpus.lengths]
    chosen = [i for i, length in enumerate(lengths) if length <= longest]
    total = sum(lengths[i] for i in chosen)
    extractor, vocoder = shapes.feature_extractor(), shapes.vocoder_config()
    mel16 = open_memmap(out / "mel16.npy", "w+", np.float16, (total * MEL16_PER_POSITION, 80))
    mel24 = open_memmap(out / "mel24.npy", "w+", np.float16, (total * FRAMES_PER_POSITION, 80))
    phones = open_memmap(out / "phones.npy", "w+", np.uint8, (total * FRAMES_PER_POSITION,))
    events = open_memmap(out / "events.npy", "w+", np.uint64, (total * FRAMES_PER_POSITION,))
    start = 0
    with (out / "index.jsonl").open("w", encoding="utf-8") as index:
        for i in chosen:
            item = corpus[i]
            entry = Entry(item.text, item.voice, start, lengths[i], item.emotion, item.tasks)
            padded = np.zeros(entry.length * POSITION_SAMPLES, np.float32)
            padded[: len(item.waveform)] = item.waveform / np.float32(32768)
            mel16[entry.rows(MEL16_PER_POSITION)] = _heard(padded, extractor)
            mel24[entry.rows(FRAMES_PER_POSITION)] = _spoken(padded, vocoder)
            frames = entry.length * FRAMES_PER_POSITION
            phones[entry.rows(FRAMES_PER_POSITION)] = phone_frames(item, frames)
            events[entry.rows(FRAMES_PER_POSITION)] = event_frames(item, frames)
            index.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            start += entry.length
    return FeatureCache(out)


def _heard(waveform: np.ndarray, extractor: WhisperFeatureExtractor) -> np.ndarray:
    """(T,) 16 kHz -> (T / 160, 80) log-mel of the encoders."""
    features = extractor(
        waveform,
        sampling_rate=INPUT_SAMPLE_RATE,
        padding=False,
        truncation=False,
        return_tensors="np",
    )
    return features["input_features"][0].T


def _spoken(waveform: np.ndarray, config: VocoderConfig) -> np.ndarray:
    """(T,) 16 kHz -> (T / 320, 80) log-mel of the vocoder, through 24 kHz."""
    return log_mel(torch.from_numpy(upsampled(waveform))[None], config)[0].T.numpy()


def upsampled(waveform: np.ndarray) -> np.ndarray:
    """(T,) at 16 kHz -> (1.5 T,) at 24 kHz, with the very filter that the vocoder learned on."""
    return resample_poly(waveform, 3, 2).astype(np.float32)
