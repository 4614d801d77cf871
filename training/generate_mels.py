"""Mels that the flow-matching model makes of training speech, beside the true waveform: what the
vocoder will hear in use, and what it should then say.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly

from kimi_demo.model.detokenizer.config import StreamingConfig
from training import shapes
from training.corpus import Corpus
from training.features import POSITION_SAMPLES, FeatureCache
from training.train_flow import stream_mel, trained_flow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="with codes")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus the cache was made from")
    parser.add_argument("--flow", type=Path, required=True, help="run folder")
    parser.add_argument("--utterances", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Writes one npz an utterance: mel (M, T) float16, wav (T * 480,) int16."""
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    voices = tuple(shapes.OUTPUT_VOICES.values())
    cache, corpus = FeatureCache(args.features, voices), Corpus(args.corpus, voices)
    # A sentence that was drawn twice may have been spoken at two lengths.
    lengths = [-(-int(samples) // POSITION_SAMPLES) for samples in corpus.lengths]
    sounds = {(corpus.text(i), length): i for i, length in enumerate(lengths)}
    flow, config = trained_flow(args.flow), StreamingConfig(**shapes.STREAMING)
    chosen = random.Random(args.seed).sample(cache.entries, min(args.utterances, len(cache)))
    for number, entry in enumerate(chosen):
        waveform = _true_waveform(corpus[sounds[entry.text, entry.length]].waveform, entry.length)
        codes = cache.codes[entry.rows(1)].tolist()
        with torch.inference_mode():
            mel = stream_mel(flow, config, codes, seed=args.seed + number)
        np.savez(args.out / f"{number:05}.npz", mel=mel.T.numpy().astype(np.float16), wav=waveform)


def _true_waveform(samples: np.ndarray, length: int) -> np.ndarray:
    """(T,) int16 at 16 kHz -> whole positions at 24 kHz."""
    padded = np.zeros(length * POSITION_SAMPLES, np.float32)
    padded[: len(samples)] = samples
    return np.clip(resample_poly(padded, 3, 2), -32768, 32767).astype(np.int16)
