"""Trains the semantic tokens: the first layers of Whisper base, pooled to 12.5 Hz and quantised.

What the codes must still know is read out of them by a network that only training needs: the phone
spoken at each 20 ms, the letters (CTC), Whisper's own last features, and the mel of the two output
voices. The codebook is off at first, then started by k-means and kept by moving averages.

Axes: B utterances, P positions of 80 ms, T frames of 20 ms, D width.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import jiwer
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kimi_demo.model.speech_tokenizer import SpeechTokenizerEncoder
from kimi_demo.model.whisper import EncoderLayer, sinusoids
from training import ears, sizes
from training.alphabet import LETTERS as PHONES
from training.cache import Cache, Entry
from training.letters import letter_ids, letter_loss, read_letters
from training.loop import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    load_averaged,
    options_from,
)

FRAMES = 4  # of 20 ms a position
MEL16 = 8  # of 10 ms a position
READOUT_WIDTH, READOUT_LAYERS = 256, 3
MEL_MEAN, MEL_SCALE = -5.0, 3.0
QUANTIZE_FROM = 0.3  # of the budget
COMMITMENT = 0.25
EMA_DECAY, DEAD_COUNT = 0.98, 0.03
MEL_NOISE, TILT, BAND = 0.08, 0.1, 12  # of the log-mel input while training, see `disturbed`
BATCH_POSITIONS = 1100


class Readout(nn.Module):
    """From positions back to frames."""

    def __init__(self, width: int) -> None:
        super().__init__()
        config = ears.config()
        config.d_model, config.encoder_ffn_dim = READOUT_WIDTH, 4 * READOUT_WIDTH
        config.encoder_attention_heads = 4
        inner = READOUT_WIDTH
        self.project = nn.Linear(width, inner)
        self.register_buffer("positions", sinusoids(1500, inner), persistent=False)
        self.coarse = nn.ModuleList(EncoderLayer(config) for _ in range(READOUT_LAYERS))
        self.expand = nn.Linear(inner, FRAMES * inner)
        self.fine = nn.ModuleList(EncoderLayer(config) for _ in range(1))
        self.norm = nn.LayerNorm(inner)
        self.to_phones = nn.Linear(inner, len(PHONES) + 1)
        self.to_letters = nn.Linear(inner, 29)
        self.to_mel = nn.Linear(inner, sizes.MEL_BINS)
        self.to_features = nn.Linear(inner, ears.WIDTH)
        exclude_from_muon([self.to_phones, self.to_letters, self.to_mel, self.to_features])

    def forward(self, states: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """states (B, P, D), valid (B, P) -> phones, letters, mel, features, each (B, 4 P, .)."""
        x = self.project(F.layer_norm(states, states.shape[-1:]))
        x = x + self.positions[: x.shape[1]]
        for layer in self.coarse:
            x = layer(x, valid[:, None, None, :])
        x = self.expand(x).unflatten(-1, (FRAMES, -1)).flatten(1, 2)  # (B, 4 P, inner)
        frames = valid.repeat_interleave(FRAMES, 1)[:, None, None, :]
        for layer in self.fine:
            x = layer(x, frames)
        x = self.norm(x)
        return self.to_phones(x), self.to_letters(x), self.to_mel(x), self.to_features(x)


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

    def __init__(self) -> None:
        super().__init__()
        config = sizes.speech_tokenizer_config()
        self.encoder = SpeechTokenizerEncoder(config)
        self.encoder.embed_positions.weight.data.copy_(sinusoids(1500, config.d_model))
        self.encoder.embed_positions.requires_grad_(False)
        self.codebook = Codebook(self.encoder.codebook)
        self.readout = Readout(config.d_model)
        # Layers that Whisper has learned are fine-tuned gently, by AdamW.
        exclude_from_muon(m for m in self.encoder.modules() if isinstance(m, nn.Linear))

    def start_from_whisper(self, folder: Path) -> None:
        """Convolutions and first layers of Whisper base."""
        learned = ears.encoder_weights(ears.read_variables(folder / "model.bin"))
        own = self.encoder.state_dict()
        for name in own:
            if name in learned:
                own[name].copy_(learned[name])

    def forward(self, mel: Tensor, valid: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """mel (B, M, 8 P), valid (B, P) -> readout, commitment loss, ids (B, P)."""
        states = self.encoder(mel, valid.repeat_interleave(MEL16, 1)).float()
        if not self.codebook.active:
            return self.readout(states, valid), states.new_zeros(()), torch.zeros_like(valid).long()
        with torch.autocast(states.device.type, enabled=False):
            ids = self.encoder.quantize(states.detach())
        codes = self.encoder.codebook(ids)
        scale = codes.detach().var()
        commitment = F.mse_loss(states[valid], codes[valid]) / scale
        if self.training:
            self.codebook.update(states.detach()[valid], ids[valid])
        snapped = states + (codes - states).detach()
        return self.readout(snapped, valid), commitment, ids


def trained_speech_tokenizer(run_dir: Path) -> SpeechTokenizerEncoder:
    """The averaged encoder and codebook of a run, finished or not, without its readout."""
    encoder = SpeechTokenizerEncoder(sizes.speech_tokenizer_config())
    return load_averaged(encoder, run_dir, prefix="encoder.").eval()


class Batch:
    """Padded tensors of some utterances."""

    def __init__(self, cache: Cache, entries: list[Entry], scale: tuple[Tensor, Tensor]) -> None:
        longest = max(entry.length for entry in entries)
        size, frames = len(entries), longest * FRAMES
        mel = np.zeros((size, longest * MEL16, sizes.MEL_BINS), np.float32)
        target = np.zeros((size, frames, sizes.MEL_BINS), np.float32)
        features = np.zeros((size, frames, ears.WIDTH), np.float32)
        phones = np.full((size, frames), -100, np.int64)
        for row, e in enumerate(entries):
            mel[row, : e.length * MEL16] = cache.array("mel16")[e.rows(MEL16)]
            target[row, : e.length * FRAMES] = cache.array("mel24")[e.rows(FRAMES)]
            phones[row, : e.length * FRAMES] = cache.array("letters")[e.rows(FRAMES)]
            heard = cache.array("heard-0")[e.rows()]
            features[row, : e.length * FRAMES] = heard.reshape(-1, ears.WIDTH)
        mean, deviation = scale
        self.mel = torch.from_numpy(mel).transpose(1, 2).contiguous()
        self.target = (torch.from_numpy(target) - MEL_MEAN) / MEL_SCALE
        self.features = (torch.from_numpy(features) - mean) / deviation
        self.phones = torch.from_numpy(phones)
        self.lengths = torch.tensor([entry.length for entry in entries])
        self.valid = torch.arange(longest) < self.lengths[:, None]
        self.frames = self.valid.repeat_interleave(FRAMES, 1)
        spoken = torch.tensor([e.utterance.voice in sizes.OUTPUT_VOICES.values() for e in entries])
        self.own_voice = self.frames & spoken[:, None]
        english = [e.utterance.text if e.utterance.language == "en" else "" for e in entries]
        self.letters = [torch.tensor(letter_ids(text)) for text in english]


def losses_of(module: TokenizerTraining, batch: Batch) -> Losses:
    """Phones a frame, letters by CTC, Whisper's features, mel by L1, and the pull to the codes."""
    (phones, letters, mel, features), commitment, _ = module(disturbed(batch.mel), batch.valid)
    phone_loss = F.cross_entropy(phones[batch.frames].float(), batch.phones[batch.frames])
    spelling = letter_loss(letters, batch.letters, batch.lengths * FRAMES)
    made, true = features.float()[batch.frames], batch.features[batch.frames]
    feature_loss = F.mse_loss(made, true) + 1 - F.cosine_similarity(made, true).mean()
    mel_loss = (mel.float() - batch.target).abs().mean(-1)
    mel_loss = mel_loss[batch.own_voice].mean() if batch.own_voice.any() else mel_loss.sum() * 0
    total = phone_loss + spelling + 0.7 * feature_loss + 1.5 * mel_loss + COMMITMENT * commitment
    return {
        "loss": total,
        "phones": phone_loss.detach(),
        "letters": spelling.detach(),
        "features": feature_loss.detach(),
        "mel": mel_loss.detach() * MEL_SCALE,
        "commitment": commitment.detach(),
    }


def disturbed(mel: Tensor) -> Tensor:
    """(B, M, T) with noise, another tilt of the spectrum, and a band of it missing."""
    rows, bins, _ = mel.shape
    ramp = torch.linspace(-TILT, TILT, bins)[:, None] * torch.randn(rows, 1, 1)
    first = torch.randint(0, bins, (rows, 1, 1))
    place = torch.arange(bins)[:, None]
    kept = (place < first) | (place >= first + torch.randint(0, BAND + 1, (rows, 1, 1)))
    quiet = mel.amin((1, 2), keepdim=True)
    return torch.where(kept, mel + ramp + MEL_NOISE * torch.randn_like(mel), quiet)


@torch.no_grad()
def evaluate(
    module: TokenizerTraining, cache: Cache, entries: list[Entry], scale
) -> dict[str, float]:
    """Through the codes: phone accuracy, letter error rate, mel L1, per kind of voice."""
    report: dict[str, float] = {}
    used: set[int] = set()
    kinds = {name: [e for e in entries if kind_of(e) == name][:60] for name in ("en", "zh", "hear")}
    for name, chosen in kinds.items():
        if not chosen:
            continue
        said, heard, right, frames, distance = [], [], 0, 0, 0.0
        for begin in range(0, len(chosen), 15):
            batch = Batch(cache, chosen[begin : begin + 15], scale)
            (phones, letters, mel, _), _, ids = module(batch.mel, batch.valid)
            right += int((phones.argmax(-1) == batch.phones)[batch.frames].sum())
            frames += int(batch.frames.sum())
            error = (mel.float() - batch.target).abs().mean(-1)[batch.frames]
            distance += float(error.sum()) * MEL_SCALE
            used |= set(ids[batch.valid].tolist())
            for row, target in enumerate(batch.letters):
                if len(target):
                    best = letters[row, : int(batch.lengths[row]) * FRAMES].argmax(-1).tolist()
                    said.append(read_letters(target.tolist(), collapse=False))
                    heard.append(read_letters(best) or " ")
        report |= {f"{name}_phones": right / frames, f"{name}_mel": distance / frames}
        if said:
            report |= {f"{name}_cer": jiwer.cer(said, heard), f"{name}_wer": jiwer.wer(said, heard)}
    return report | {"codes_used": float(len(used))}


def kind_of(entry: Entry) -> str:
    """en or zh for the voice that the checkpoint speaks with, hear for all others."""
    own = entry.utterance.voice == sizes.OUTPUT_VOICES[entry.utterance.language]
    return entry.utterance.language if own else "hear"


def split(cache: Cache, every: int = 50) -> tuple[list[Entry], list[Entry]]:
    """Entries to learn from, and every fiftieth to evaluate with: those of no other's text."""
    held = [e for i, e in enumerate(cache.entries) if i % every == 0]
    texts = {e.utterance.text for e in held}
    return [e for e in cache.entries if e.utterance.text not in texts], held


def batches(entries: list[Entry], rng: random.Random, positions: int) -> Iterator[list[Entry]]:
    """Endless random batches of like length, `positions` in each."""
    while True:
        drawn = sorted(rng.sample(entries, min(len(entries), 800)), key=lambda e: e.length)
        groups, group = [], []
        for entry in drawn:
            if group and entry.length * (len(group) + 1) > positions:
                groups.append(group)
                group = []
            group.append(entry)
        groups.append(group)
        rng.shuffle(groups)
        yield from groups


def feature_scale(cache: Cache) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each of Whisper's features."""
    sample = cache.array("heard-0")[:: max(1, cache.positions // 5000)].reshape(-1, ears.WIDTH)
    rows = torch.from_numpy(sample.astype(np.float32))
    return rows.mean(0), rows.std(0)


@torch.no_grad()
def start_codebook(module: TokenizerTraining, drawn: Iterator[list[Entry]], cache, scale) -> None:
    """Fills the codebook by k-means over the states of some batches."""
    module.eval()
    states = []
    for _ in range(30):
        batch = Batch(cache, next(drawn), scale)
        mask = batch.valid.repeat_interleave(MEL16, 1)
        states.append(module.encoder(batch.mel, mask)[batch.valid].float())
    module.codebook.start(torch.cat(states), module.encoder.quantize)
    module.train()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--whisper", default="base", help="faster-whisper folder, size or hub id")
    parser.add_argument("--start-from", type=Path, help="run to go on from, with its codebook")
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains the tokenizer within the budget."""
    cache = Cache(args.cache)
    torch.manual_seed(args.seed)
    options = options_from(args, learning_rate=3e-4, muon_learning_rate=0.02, evaluate_every_s=240)
    module = TokenizerTraining()
    module.start_from_whisper(ears.find_whisper(args.whisper))
    if args.start_from:
        load_averaged(module, args.start_from)
    trainer = Trainer(module, options, args.out)
    learned, held = split(cache)
    scale = feature_scale(cache)
    drawn = batches(learned, random.Random(args.seed + trainer.step), BATCH_POSITIONS)

    def losses() -> Losses:
        if trainer.progress >= QUANTIZE_FROM and not module.codebook.active:
            start_codebook(module, drawn, cache, scale)
        return losses_of(module, Batch(cache, next(drawn), scale))

    trainer.fit(losses, lambda averaged: evaluate(averaged, cache, held, scale))
