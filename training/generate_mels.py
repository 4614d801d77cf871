"""Mels that the flow-matching model makes of training speech, beside the true waveform: what the
vocoder will hear in use, and what it should then say.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch

from kimi_demo.model.detokenizer.config import StreamingConfig
from training import sizes
from training.alphabet import STEP_SAMPLES
from training.cache import Cache
from training.flow import stream_mel, trained_flow
from training.shards import read_shards
from training.speech_tokenizer import kind_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, required=True, help="with codes-0")
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="of the cache")
    parser.add_argument("--flow", type=Path, required=True, help="run folder")
    parser.add_argument("--utterances", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Writes one npz an utterance: mel (M, T) float16, wav (T * 480,) int16."""
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    cache, flow = Cache(args.cache), trained_flow(args.flow)
    config = StreamingConfig(**sizes.STREAMING)
    own = [entry for entry in cache.entries if kind_of(entry) != "hear"]
    wanted = {e.utterance: e for e in random.Random(args.seed).sample(own, args.utterances)}
    kinds = [f"out-{language}" for language in sizes.OUTPUT_VOICES]
    for number, (utterance, samples) in enumerate(read_shards(args.shards, kinds)):
        entry = wanted.get(utterance)
        if entry is None:
            continue
        waveform = np.pad(samples, (0, entry.length * STEP_SAMPLES - len(samples)))
        codes = cache.array("codes-0")[entry.rows()].tolist()
        with torch.inference_mode():
            mel = stream_mel(flow, config, codes, seed=args.seed + number)
        np.savez(args.out / f"{number:05}.npz", mel=mel.T.numpy().astype(np.float16), wav=waveform)
