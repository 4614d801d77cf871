"""Writes what the frozen encoders hear into a feature cache: codes.npy and acoustic.npy."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from training import shapes
from training.features import MEL16_PER_POSITION, Entry, FeatureCache
from training.train_acoustic import pack, trained_acoustic_encoder, window_mel
from training.train_speech_tokenizer import Batch, trained_speech_tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", type=Path, nargs="+", required=True)
    parser.add_argument("--tokenizer", type=Path, help="run folder: writes codes.npy")
    parser.add_argument("--acoustic", type=Path, help="run folder: writes acoustic.npy")
    parser.add_argument("--device", default="cpu")


def run(args: argparse.Namespace) -> None:
    """Encodes every utterance of the caches with whichever encoders are given."""
    torch.set_num_threads(1)
    for root in args.features:
        cache = FeatureCache(root)
        if args.tokenizer:
            write_codes(cache, args.tokenizer, args.device)
        if args.acoustic:
            write_acoustic(cache, args.acoustic, args.device)


def _positions(cache: FeatureCache) -> int:
    return max(entry.start + entry.length for entry in cache.entries)


@torch.inference_mode()
def write_codes(cache: FeatureCache, run_dir: Path, device: str) -> None:
    """codes.npy: (positions,) int16."""
    encoder = trained_speech_tokenizer(run_dir).to(device)
    codes = open_memmap(cache.roots[0] / "codes.npy", "w+", np.int16, (_positions(cache),))
    ordered = sorted(cache.entries, key=lambda entry: entry.length)
    for begin in range(0, len(ordered), 32):
        entries = ordered[begin : begin + 32]
        batch = Batch(cache, entries, device)
        mask = batch.valid.repeat_interleave(MEL16_PER_POSITION, 1)
        ids = encoder.quantize(encoder(batch.mel, mask)).cpu().numpy()
        for row, entry in enumerate(entries):
            codes[entry.rows(1)] = ids[row, : entry.length]


@torch.inference_mode()
def write_acoustic(cache: FeatureCache, run_dir: Path, device: str) -> None:
    """acoustic.npy: (positions, 4 D) float16."""
    encoder = trained_acoustic_encoder(run_dir).to(device)
    width = 4 * shapes.ENCODER_WIDTH
    shape = (_positions(cache), width)
    acoustic = open_memmap(cache.roots[0] / "acoustic.npy", "w+", np.float16, shape)
    for windows in _window_batches(cache.to_listen()):
        mel = np.stack([window_mel(cache, window) for window in windows])
        mel = torch.from_numpy(mel).transpose(1, 2).to(device)
        rows = encoder(mel).last_hidden_state.reshape(len(windows), -1, width).cpu().numpy()
        for row, window in zip(rows, windows, strict=True):
            begin = 0
            for entry in window:
                acoustic[entry.rows(1)] = row[begin : begin + entry.length]
                begin += entry.length


def _window_batches(entries: list[Entry], size: int = 8) -> Iterator[list[list[Entry]]]:
    """Windows as in training: several utterances in a row, or one alone."""
    rng = random.Random(0)
    windows = pack(rng.sample(entries, len(entries)), rng)
    for begin in range(0, len(windows), size):
        yield windows[begin : begin + size]
