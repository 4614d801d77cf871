"""Trains the speech tokenizer: half a Whisper encoder whose pooled states, snapped to a codebook,
must still tell the phones, the letters and the mel spectrogram of what was said.

Quantisation starts late: codes that are learned before the states mean anything collapse to a few.
Axes: B utterances, P positions (12.5 Hz), T frames (50 Hz), D width.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import jiwer
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer, sinusoids

from kimi_demo.model.speech_tokenizer import SpeechTokenizerEncoder
from training import shapes
from training.features import (
    FRAMES_PER_POSITION,
    MEL16_PER_POSITION,
    UNKNOWN,
    Entry,
    FeatureCache,
)
from training.letters import LETTERS, letter_ids, letter_loss, read_letters
from training.phones import PHONES
from training.training import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    load_averaged,
    load_matching,
    options_from,
)

QUANTIZE_FROM = 0.3  # share of the budget after which the codebook takes part
EMA_DECAY = 0.98
COMMITMENT = 0.25
DEAD_COUNT = 0.03  # codes used less are moved onto a random state
MEL_MEAN, MEL_SCALE = -5.0, 3.0


class Readout(nn.Module):
    """From positions back to frames: what the codes must still know. Only training needs it."""

    def __init__(self, config: WhisperConfig, layers: int = 3) -> None:
        super().__init__()
        width = config.d_model
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, width)
        positions = sinusoids(config.max_source_positions, width)
        self.register_buffer("positions", positions, persistent=False)
        self.layers = nn.ModuleList(WhisperEncoderLayer(config) for _ in range(layers))
        self.final_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, FRAMES_PER_POSITION * width)
        self.to_phones = nn.Linear(width, len(PHONES))
        self.to_letters = nn.Linear(width, len(LETTERS) + 1)
        self.to_mel = nn.Linear(width, config.num_mel_bins)
        exclude_from_muon([self.to_phones, self.to_letters, self.to_mel])

    def forward(self, states: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """states: (B, P, D), valid: (B, P) -> logits of phones, letters and the mel, each (B, 4 P,
        .).
        """
        x = self.project(self.norm(states)) + self.positions[: states.shape[1]]
        for layer in self.layers:
            x = layer(x, valid[:, None, None, :])
        frames = F.gelu(self.expand(self.final_norm(x))).unflatten(-1, (FRAMES_PER_POSITION, -1))
        frames = frames.flatten(1, 2)
        return self.to_phones(frames), self.to_letters(frames), self.to_mel(frames)


class Codebook(nn.Module):
    """Moving averages of the states that chose each code."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        embedding.weight.requires_grad_(False)
        self.register_buffer("count", torch.ones(embedding.num_embeddings))
        self.register_buffer("total", embedding.weight.detach().clone())
        self.register_buffer("active", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def start(self, states: Tensor, assign, iterations: int = 10) -> None:
        """k-means over states (N, D)."""
        codes = self.embedding.weight
        codes.copy_(states[torch.randperm(len(states))[: len(codes)]])
        for _ in range(iterations):
            ids = assign(states)
            count = torch.bincount(ids, minlength=len(codes))
            total = torch.zeros_like(codes).index_add_(0, ids, states)
            fresh = states[torch.randint(len(states), (len(codes),))]
            means = total / count.clamp_min(1)[:, None]
            codes.copy_(torch.where(count[:, None] > 0, means, fresh))
        self.total.copy_(codes)
        self.count.fill_(1)
        self.active.fill_(True)

    @torch.no_grad()
    def update(self, states: Tensor, ids: Tensor) -> None:
        """One step of the averages; rarely used codes restart on a random state."""
        used = torch.bincount(ids, minlength=len(self.count)).float()
        total = torch.zeros_like(self.total).index_add_(0, ids, states)
        self.count.mul_(EMA_DECAY).add_(used, alpha=1 - EMA_DECAY)
        self.total.mul_(EMA_DECAY).add_(total, alpha=1 - EMA_DECAY)
        dead = self.count < DEAD_COUNT
        fresh = states[torch.randint(len(states), (int(dead.sum()),))]
        self.total[dead], self.count[dead] = fresh, 1.0
        self.embedding.weight.copy_(self.total / self.count[:, None])


class TokenizerTraining(nn.Module):
    """Encoder, codebook averages and readout in one module, as the trainer wants it."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.encoder = SpeechTokenizerEncoder(config)
        positions = sinusoids(config.max_source_positions, config.d_model)
        self.encoder.embed_positions.weight.data.copy_(positions)
        self.encoder.embed_positions.requires_grad_(False)
        self.codebook = Codebook(self.encoder.codebook)
        self.readout = Readout(config)

    def forward(self, mel: Tensor, valid: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """mel: (B, M, 8 P), valid: (B, P) -> readout, commitment loss, ids (B, P)."""
        states = self.encoder(mel, valid.repeat_interleave(MEL16_PER_POSITION, 1))
        if not self.codebook.active:
            return self.readout(states, valid), states.new_zeros(()), torch.zeros_like(valid).long()
        ids = self.encoder.quantize(states.detach())
        codes = self.encoder.codebook(ids)
        commitment = F.mse_loss(states[valid], codes[valid])
        if self.training:
            self.codebook.update(states.detach()[valid], ids[valid])
        snapped = states + (codes - states).detach()
        return self.readout(snapped, valid), commitment, ids


def trained_speech_tokenizer(run_dir: Path) -> SpeechTokenizerEncoder:
    """The averaged encoder and codebook of a run, finished or not, without its readout."""
    encoder = SpeechTokenizerEncoder(shapes.speech_tokenizer_config())
    return load_averaged(encoder, run_dir, prefix="encoder.").eval()


class Batch:
    """Padded tensors of some utterances."""

    def __init__(self, cache: FeatureCache, entries: list[Entry], device: str = "cpu") -> None:
        longest = max(entry.length for entry in entries)
        size, frames = len(entries), longest * FRAMES_PER_POSITION
        mel = np.zeros((size, longest * MEL16_PER_POSITION, shapes.MEL_BINS), np.float32)
        target = np.zeros((size, frames, shapes.MEL_BINS), np.float32)
        phones = np.full((size, frames), -100, np.int64)
        for row, entry in enumerate(entries):
            heard, spoken = entry.rows(MEL16_PER_POSITION), entry.rows(FRAMES_PER_POSITION)
            mel[row, : heard.stop - heard.start] = cache.mel16[heard]
            target[row, : spoken.stop - spoken.start] = cache.mel24[spoken]
            phones[row, : spoken.stop - spoken.start] = known_phones(cache, entry)
        self.mel = torch.from_numpy(mel).transpose(1, 2).contiguous().to(device)
        self.target = (torch.from_numpy(target).to(device) - MEL_MEAN) / MEL_SCALE
        self.phones = torch.from_numpy(phones).to(device)
        self.lengths = torch.tensor([entry.length for entry in entries], device=device)
        self.valid = torch.arange(longest, device=device) < self.lengths[:, None]
        self.frames = self.valid.repeat_interleave(FRAMES_PER_POSITION, 1)
        self.texts = [entry.text for entry in entries]
        self.letters = [torch.tensor(letter_ids(text)) for text in self.texts]


def known_phones(cache: FeatureCache, entry: Entry) -> np.ndarray:
    """(frames,) int64 phone of each frame, -100 where nobody knows it."""
    phones = cache.phones[entry.rows(FRAMES_PER_POSITION)].astype(np.int64)
    return np.where(phones == UNKNOWN, -100, phones)


def phone_loss_of(logits: Tensor, phones: Tensor) -> Tensor:
    """Cross-entropy of the frames whose phone is known. logits: (B, T, phones), phones: (B, T)."""
    known = phones >= 0
    if not known.any():
        return logits.new_zeros(())
    return F.cross_entropy(logits[known].float(), phones[known])


def spelling_errors(voice: str, said: list[str], heard: list[str]) -> dict[str, float]:
    """Letter and word error rates; nothing for voices that spell nothing."""
    if not any(said):
        return {}
    return {f"{voice}_cer": jiwer.cer(said, heard), f"{voice}_wer": jiwer.wer(said, heard)}


def losses_of(module: TokenizerTraining, batch: Batch) -> Losses:
    """Phones per frame, letters by CTC, mel by L1, and the pull towards the codes."""
    (phones, letters, mel), commitment, _ = module(batch.mel, batch.valid)
    phone_loss = phone_loss_of(phones, batch.phones)
    mel_loss = (mel - batch.target).abs().mean(-1)[batch.frames].mean()
    spelling = letter_loss(letters, batch.letters, batch.lengths * FRAMES_PER_POSITION)
    return {
        "loss": phone_loss + spelling + mel_loss + COMMITMENT * commitment,
        "phones": phone_loss.detach(),
        "letters": spelling.detach(),
        "mel": mel_loss.detach() * MEL_SCALE,
        "commitment": commitment.detach(),
    }


@torch.no_grad()
def evaluate(module: TokenizerTraining, cache: FeatureCache, device: str) -> dict[str, float]:
    """Through the codes: phone accuracy, letter error rate, mel L1, codes used, per voice."""
    report: dict[str, float] = {}
    used: set[int] = set()
    for voice in sorted({entry.voice for entry in cache.entries}):
        entries = [entry for entry in cache.entries if entry.voice == voice][:60]
        said, heard, right, total, frames, mel_l1 = [], [], 0, 0, 0, 0.0
        for begin in range(0, len(entries), 20):
            batch = Batch(cache, entries[begin : begin + 20], device)
            (phones, letters, mel), _, ids = module(batch.mel, batch.valid)
            named = batch.phones >= 0
            right += int((phones.argmax(-1) == batch.phones)[named].sum())
            total += int(named.sum())
            distance = (mel - batch.target).abs().mean(-1)[batch.frames]
            mel_l1 += float(distance.sum()) * MEL_SCALE
            frames += len(distance)
            used |= set(ids[batch.valid].tolist())
            best = letters.argmax(-1).cpu()
            for row, text in enumerate(batch.texts):
                length = int(batch.lengths[row]) * FRAMES_PER_POSITION
                said.append(read_letters(letter_ids(text), collapse=False))
                heard.append(read_letters(best[row, :length].tolist()) or " ")
        report[f"{voice}_phone_accuracy"] = right / max(1, total)
        report[f"{voice}_mel_l1"] = mel_l1 / frames
        report |= spelling_errors(voice, said, heard)
    report["codes_used"] = float(len(used))
    return report


@torch.no_grad()
def start_codebook(module: TokenizerTraining, batches, cache: FeatureCache, device: str) -> None:
    """Fills the codebook by k-means over the states of some batches."""
    states = []
    for _ in range(50):
        batch = Batch(cache, next(batches), device)
        mask = batch.valid.repeat_interleave(MEL16_PER_POSITION, 1)
        states.append(module.encoder(batch.mel, mask)[batch.valid])
    module.codebook.start(torch.cat(states), module.encoder.quantize)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", type=Path, nargs="+", required=True)
    parser.add_argument("--heldout", type=Path, nargs="+", required=True, help="to evaluate on")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--start-from", type=Path, help="run whose layers to begin with")
    parser.add_argument("--quantize-from", type=float, default=QUANTIZE_FROM, help="of the budget")
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains the tokenizer within the budget."""
    cache, heldout = FeatureCache(args.features), FeatureCache(args.heldout)
    torch.manual_seed(args.seed)
    options = options_from(args)
    module = TokenizerTraining(shapes.speech_tokenizer_config())
    if args.start_from:
        load_matching(module, args.start_from, without=("codebook", "encoder.codebook"))
    trainer = Trainer(module, options, args.out)
    batches = cache.batches(args.batch, random.Random(args.seed + trainer.step))

    def losses() -> Losses:
        if trainer.progress >= args.quantize_from and not module.codebook.active:
            start_codebook(module, batches, cache, args.device)
        return losses_of(module, Batch(cache, next(batches), args.device))

    trainer.fit(losses, lambda averaged: evaluate(averaged, heldout, args.device))
