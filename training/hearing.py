"""Lets the frozen ears hear a cache: semantic tokens and acoustic features, in several conditions.

Pass 0 hears every utterance clean and alone. Later passes pack utterances into windows of up to
30 s, as people's recordings are, and degrade each window anew.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from training import ears, sizes
from training.cache import POSITION_SAMPLES, Cache, Entry
from training.sounds import degrade
from training.sounds.degrade import make_backgrounds
from training.sounds.write import read as read_labelled
from training.speech_tokenizer import MEL16, trained_speech_tokenizer

WINDOW_POSITIONS = 340  # of 375: silence is put around and between
ALONE = 0.5  # share of windows with a single utterance
BATCH_POSITIONS = 1600


@dataclass(frozen=True)
class Heard:
    """mel: (8 n, M) float16; features: (n, 4 D) float16; codes: (n,) int16, zeros if untrained."""

    mel: np.ndarray
    features: np.ndarray
    codes: np.ndarray


class Ears:
    """Both frozen encoders, as they hear at run time. Without a tokenizer codes are zeros."""

    def __init__(self, whisper: str, tokenizer_run: Path | None) -> None:
        self._encoder = ears.load_encoder(ears.find_whisper(whisper))
        self._tokenizer = trained_speech_tokenizer(tokenizer_run) if tokenizer_run else None
        self._extractor = ears.feature_extractor()

    @torch.inference_mode()
    def hear(self, waveforms: Sequence[np.ndarray]) -> list[Heard]:
        """waveforms: (N,) float32 at 16 kHz each, N whole positions."""
        lengths = [len(waveform) // POSITION_SAMPLES for waveform in waveforms]
        silence = round(sizes.PAD_SECONDS * 12.5)
        padded = np.zeros((len(lengths), (max(lengths) + silence) * POSITION_SAMPLES), np.float32)
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = waveform
        mel = self._extractor(
            list(padded), sampling_rate=16_000, padding=False, truncation=False, return_tensors="pt"
        ).input_features.float()
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
            states = self._encoder(mel).float()
        features = states.reshape(len(lengths), -1, 4 * ears.WIDTH).numpy().astype(np.float16)
        codes = self._codes(mel, lengths)
        mel = mel.transpose(1, 2).numpy().astype(np.float16)
        rows = zip(mel, features, codes, lengths, strict=True)
        return [Heard(m[: MEL16 * n], f[:n], c[:n]) for m, f, c, n in rows]

    def _codes(self, mel: Tensor, lengths: list[int]) -> np.ndarray:
        if self._tokenizer is None:
            return np.zeros((len(lengths), max(lengths)), np.int16)
        valid = torch.arange(mel.shape[2]) < MEL16 * torch.tensor(lengths)[:, None]
        return self._tokenizer.quantize(self._tokenizer(mel, valid)).numpy().astype(np.int16)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, help="speech: passes are written into it")
    parser.add_argument("--sounds", type=Path, help="labelled sounds: the path without a suffix")
    parser.add_argument("--out", type=Path, help="folder for what was heard of labelled sounds")
    parser.add_argument("--whisper", default="base", help="faster-whisper folder, size or hub id")
    parser.add_argument("--tokenizer", type=Path, help="run folder; without it there are no codes")
    parser.add_argument("--passes", type=int, nargs="+", default=[0, 1, 2])


def run(args: argparse.Namespace) -> None:
    """Writes the passes that are asked for."""
    torch.set_num_threads(1)
    hearing = Ears(args.whisper, args.tokenizer)
    if args.sounds:
        hear_sounds(args.sounds, args.out, hearing)
    if args.cache:
        cache = Cache(args.cache)
        for number in args.passes:
            write_pass(cache, hearing, number)


@dataclass(frozen=True)
class Window:
    """Utterances in a row, with silence around them, as one recording.

    start, length: its rows in the arrays of the pass. entries: (index, first position in the
    window) of each utterance.
    """

    start: int
    length: int
    entries: tuple[tuple[int, int], ...]


def write_pass(cache: Cache, hearing: Ears, number: int) -> None:
    """heard-K.npy, codes-K.npy and windows-K.jsonl; rows are counted in windows, not in entries.

    Pass 0, whose windows are the entries, writes mel16.npy, too: what the tokenizer learns from.
    """
    rng = random.Random(number)
    windows = list(place(cache.entries, rng) if number else alone(cache.entries))
    rows = windows[-1].start + windows[-1].length
    shape = (rows, 4 * ears.WIDTH)
    heard = open_memmap(cache.root / f"heard-{number}.partial", "w+", np.float16, shape)
    codes = np.zeros(rows, np.int16)
    mel = np.zeros((0 if number else MEL16 * rows, ears.MEL_BINS), np.float16)
    backgrounds = make_backgrounds(np.random.default_rng(number)) if number else []
    for group in _batches(windows):
        sounds = [_sound(cache, window) for window in group]
        if number:
            sounds = [_degraded(sound, rng, backgrounds) for sound in sounds]
        for window, made in zip(group, hearing.hear(sounds), strict=True):
            rows = slice(window.start, window.start + window.length)
            heard[rows], codes[rows] = made.features, made.codes
            if not number:
                mel[MEL16 * rows.start : MEL16 * rows.stop] = made.mel
    with (cache.root / f"windows-{number}.jsonl").open("w") as file:
        file.writelines(json.dumps(asdict(window)) + "\n" for window in windows)
    heard.flush()
    (cache.root / f"heard-{number}.partial").rename(cache.root / f"heard-{number}.npy")
    if not number:
        np.save(cache.root / "mel16.npy", mel)
    np.save(cache.root / f"codes-{number}.npy", codes)


def hear_sounds(path: Path, out: Path, hearing: Ears) -> None:
    """Labelled sounds of `training.sounds` as index.jsonl, heard-0.npy and codes-0.npy."""
    out.mkdir(parents=True, exist_ok=True)
    sounds = sorted(read_labelled(path), key=lambda sound: len(sound.waveform))
    rows, start, heard, codes = [], 0, [], []
    for begin in range(0, len(sounds), 16):
        group = sounds[begin : begin + 16]
        whole = [_kept_length(s.waveform) for s in group]
        for sound, made in zip(group, hearing.hear(whole), strict=True):
            tasks = [asdict(task) for task in sound.tasks]
            rows.append({"start": start, "length": len(made.codes), "tasks": tasks})
            start += len(made.codes)
            heard.append(made.features)
            codes.append(made.codes)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "index.jsonl").write_text("".join(lines), encoding="utf-8")
    np.save(out / "heard-0.npy", np.concatenate(heard))
    np.save(out / "codes-0.npy", np.concatenate(codes))


def _kept_length(waveform: np.ndarray) -> np.ndarray:
    """Padded to whole positions."""
    return np.pad(waveform, (0, -len(waveform) % POSITION_SAMPLES)).astype(np.float32)


def read_windows(root: Path, number: int) -> list[Window]:
    """The windows of a pass."""
    rows = map(json.loads, (root / f"windows-{number}.jsonl").read_text().splitlines())
    return [Window(r["start"], r["length"], tuple(map(tuple, r["entries"]))) for r in rows]


def alone(entries: Sequence[Entry]) -> Iterator[Window]:
    """Every utterance by itself; rows are those of the cache."""
    for index, entry in enumerate(entries):
        yield Window(entry.start, entry.length, ((index, 0),))


def place(entries: Sequence[Entry], rng: random.Random) -> Iterator[Window]:
    """Windows of one or more utterances of one language, with up to a second between them."""
    start = 0
    for indices in pack(entries, rng):
        first = rng.randint(0, 10)
        placed = []
        for index in indices:
            placed.append((index, first))
            first += entries[index].length + rng.randint(0, 8)
        yield Window(start, first, tuple(placed))
        start += first


def pack(entries: Sequence[Entry], rng: random.Random) -> Iterator[list[int]]:
    """Indices of entries that share a window."""
    order = rng.sample(range(len(entries)), len(entries))
    order.sort(key=lambda i: entries[i].utterance.language)
    window: list[int] = []
    room = 0
    for index in order:
        length = entries[index].length + 6
        language = entries[index].utterance.language
        if window and (length > room or language != entries[window[0]].utterance.language):
            yield window
            window = []
        if not window:
            room = length if rng.random() < ALONE else rng.randint(length, WINDOW_POSITIONS)
        window.append(index)
        room -= length
    if window:
        yield window


def _degraded(sound: np.ndarray, rng: random.Random, backgrounds) -> np.ndarray:
    """Noise, a room, a poor line: half of the windows meet one or more; the length stays."""
    generator = np.random.default_rng(rng.getrandbits(32))
    if rng.random() < 0.25:
        sound = degrade.in_room(sound, generator, rng.uniform(*degrade.REVERBERATION_S))
    if rng.random() < 0.4:
        noise = rng.choice(backgrounds)
        sound = degrade.in_noise(sound, noise, generator, rng.uniform(*degrade.SNR_DB))
    if rng.random() < 0.25:
        line = rng.choice((degrade.through_telephone, degrade.through_codec))
        sound = line(sound, generator)
    peak = max(float(np.abs(sound).max(initial=0)), 1e-9)
    return (sound * (10 ** (rng.uniform(-30, -1) / 20) / peak)).astype(np.float32)


def _batches(windows: Sequence[Window]) -> Iterator[list[Window]]:
    group: list[Window] = []
    for window in sorted(windows, key=lambda w: w.length):
        if group and window.length * (len(group) + 1) > BATCH_POSITIONS:
            yield group
            group = []
        group.append(window)
    if group:
        yield group


def _sound(cache: Cache, window: Window) -> np.ndarray:
    """(1280 n,) float32 of a window before it is degraded."""
    sound = np.zeros(window.length * POSITION_SAMPLES, np.float32)
    for index, first in window.entries:
        waveform = cache.waveform(cache.entries[index])
        sound[first * POSITION_SAMPLES :][: len(waveform)] = waveform
    return sound
