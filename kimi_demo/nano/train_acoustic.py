"""Trains the acoustic encoder: Whisper's encoder whose frames must tell phones and letters.

It starts from the speech tokenizer's layers, which have the same shape, and hears whole windows as
in
use: several utterances in a row or one, then silence to the end of the window.
Axes: B windows, T frames (50 Hz), D width.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import jiwer
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder, sinusoids

from kimi_demo.nano import shapes
from kimi_demo.nano.features import (
    FRAMES_PER_POSITION,
    MEL16_PER_POSITION,
    Entry,
    FeatureCache,
)
from kimi_demo.nano.letters import LETTERS, letter_ids, read_letters
from kimi_demo.nano.phones import PHONES
from kimi_demo.nano.train_speech_tokenizer import TokenizerTraining
from kimi_demo.nano.training import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    load_averaged,
    options_from,
)

ALONE = 0.35  # share of windows with a single utterance
SILENCE_BELOW_PEAK = 2.0  # the extractor clamps 8 decades of power below the peak; scaled by 1/4


class AcousticTraining(nn.Module):
    """The encoder and two readouts that only training needs."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.encoder = WhisperEncoder(config)
        positions = sinusoids(config.max_source_positions, config.d_model)
        self.encoder.embed_positions.weight.data.copy_(positions)
        self.encoder.embed_positions.requires_grad_(False)
        self.to_phones = nn.Linear(config.d_model, len(PHONES))
        self.to_letters = nn.Linear(config.d_model, len(LETTERS) + 1)
        exclude_from_muon([self.to_phones, self.to_letters])

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """mel: (B, M, 2 T) -> logits of phones and letters, each (B, T, .)."""
        states = self.encoder(mel).last_hidden_state
        return self.to_phones(states), self.to_letters(states)


def start_from_tokenizer(encoder: WhisperEncoder, run_dir: Path) -> None:
    """Copies convolutions and layers of a trained speech tokenizer."""
    trained = load_averaged(TokenizerTraining(shapes.speech_tokenizer_config()), run_dir).encoder
    encoder.conv1.load_state_dict(trained.conv1.state_dict())
    encoder.conv2.load_state_dict(trained.conv2.state_dict())
    encoder.layers.load_state_dict(trained.layers.state_dict())


def pack(entries: list[Entry], rng: random.Random) -> list[list[Entry]]:
    """Fills windows with utterances; some windows hold a single one."""
    windows: list[list[Entry]] = []
    current: list[Entry] = []
    for entry in entries:
        used = sum(e.length for e in current)
        if current and (used + entry.length > shapes.WINDOW_POSITIONS or rng.random() < ALONE):
            windows.append(current)
            current = []
        current.append(entry)
    return [*windows, current]


def window_mel(cache: FeatureCache, window: list[Entry]) -> np.ndarray:
    """(frames, M) log-mel of a full window: the utterances, then silence."""
    heard = [np.asarray(cache.mel16[e.rows(MEL16_PER_POSITION)], np.float32) for e in window]
    joined = np.concatenate(heard)
    frames = shapes.WINDOW_POSITIONS * MEL16_PER_POSITION
    mel = np.full((frames, joined.shape[1]), joined.max() - SILENCE_BELOW_PEAK, np.float32)
    mel[: len(joined)] = joined
    return mel


class WindowBatch:
    """Tensors of some windows."""

    def __init__(self, cache: FeatureCache, windows: list[list[Entry]], device: str) -> None:
        mel = np.stack([window_mel(cache, window) for window in windows])
        frames = shapes.WINDOW_POSITIONS * FRAMES_PER_POSITION
        phones = np.full((len(windows), frames), -100, np.int64)
        for row, window in enumerate(windows):
            spoken = np.concatenate([cache.phones[e.rows(FRAMES_PER_POSITION)] for e in window])
            phones[row, : len(spoken)] = spoken
        self.mel = torch.from_numpy(mel).transpose(1, 2).contiguous().to(device)
        self.phones = torch.from_numpy(phones).to(device)
        self.lengths = (self.phones >= 0).sum(1)
        self.texts = [" ".join(e.text for e in window) for window in windows]
        self.letters = [torch.tensor(letter_ids(text)) for text in self.texts]


def losses_of(module: AcousticTraining, batch: WindowBatch) -> Losses:
    """Phones per frame and letters by CTC."""
    phones, letters = module(batch.mel)
    frames = batch.phones >= 0
    phone_loss = F.cross_entropy(phones[frames].float(), batch.phones[frames])
    letter_loss = F.ctc_loss(
        letters.float().log_softmax(-1).transpose(0, 1),
        torch.cat(batch.letters).to(letters.device),
        batch.lengths,
        torch.tensor([len(ids) for ids in batch.letters]),
        zero_infinity=True,
    )
    loss = phone_loss + letter_loss
    return {"loss": loss, "phones": phone_loss.detach(), "letters": letter_loss.detach()}


@torch.no_grad()
def evaluate(module: AcousticTraining, cache: FeatureCache, device: str) -> dict[str, float]:
    """Phone accuracy and letter error rates of utterances heard alone, per voice."""
    report: dict[str, float] = {}
    for voice in sorted({entry.voice for entry in cache.entries}):
        entries = [entry for entry in cache.entries if entry.voice == voice][:40]
        batch = WindowBatch(cache, [[entry] for entry in entries], device)
        phones, letters = module(batch.mel)
        frames = batch.phones >= 0
        right = (phones.argmax(-1) == batch.phones)[frames].float().mean()
        said = [read_letters(letter_ids(text), collapse=False) for text in batch.texts]
        best = letters.argmax(-1).cpu()
        heard = [
            read_letters(best[row, : int(length)].tolist()) or " "
            for row, length in enumerate(batch.lengths)
        ]
        report[f"{voice}_phone_accuracy"] = float(right)
        report[f"{voice}_cer"] = jiwer.cer(said, heard)
        report[f"{voice}_wer"] = jiwer.wer(said, heard)
    return report


def _windows(cache: FeatureCache, size: int, rng: random.Random) -> Iterator[list[list[Entry]]]:
    while True:
        windows = pack(rng.sample(cache.entries, min(len(cache), size * 16)), rng)
        rng.shuffle(windows)
        for start in range(0, len(windows) - size + 1, size):
            yield windows[start : start + size]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--heldout", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="run folder of the speech tokenizer")
    parser.add_argument("--batch", type=int, default=8, help="windows")
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains the encoder within the budget."""
    cache, heldout = FeatureCache(args.features), FeatureCache(args.heldout)
    torch.manual_seed(args.seed)
    options = options_from(args, evaluate_every_s=300.0)
    module = AcousticTraining(shapes.acoustic_encoder_config())
    if args.tokenizer:
        start_from_tokenizer(module.encoder, args.tokenizer)
    trainer = Trainer(module, options, args.out)
    windows = _windows(cache, args.batch, random.Random(args.seed + trainer.step))

    def losses() -> Losses:
        return losses_of(module, WindowBatch(cache, next(windows), args.device))

    trainer.fit(losses, lambda averaged: evaluate(averaged, heldout, args.device))
