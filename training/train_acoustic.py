"""Trains the acoustic encoder: Whisper's encoder whose frames must tell phones, letters, kinds of
sound and moods.

It starts from the speech tokenizer's layers, which have the same shape, and hears whole windows as
in use: several utterances in a row or one, then silence to the end of the window.
Axes: B windows, T frames (50 Hz), D width, E kinds of sound.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder, sinusoids

from training import shapes
from training.features import (
    FRAMES_PER_POSITION,
    MEL16_PER_POSITION,
    Entry,
    FeatureCache,
)
from training.letters import LETTERS, letter_ids, letter_loss, read_letters
from training.phones import PHONES
from training.scenes import EVENT_CLASSES
from training.speech_sounds import EMOTIONS
from training.train_speech_tokenizer import (
    known_phones,
    phone_loss_of,
    spelling_errors,
    trained_speech_tokenizer,
)
from training.training import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    load_averaged,
    options_from,
)

ALONE = 0.35  # share of windows with a single utterance
EVENT_WEIGHT, EMOTION_WEIGHT = 0.5, 0.3
SILENCE_BELOW_PEAK = 2.0  # the extractor clamps 8 decades of power below the peak; scaled by 1/4


class AcousticTraining(nn.Module):
    """The encoder and readouts that only training needs."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.encoder = WhisperEncoder(config)
        positions = sinusoids(config.max_source_positions, config.d_model)
        self.encoder.embed_positions.weight.data.copy_(positions)
        self.encoder.embed_positions.requires_grad_(False)
        self.to_phones = nn.Linear(config.d_model, len(PHONES))
        self.to_letters = nn.Linear(config.d_model, len(LETTERS) + 1)
        self.to_events = nn.Linear(config.d_model, len(EVENT_CLASSES))
        self.to_emotions = nn.Linear(config.d_model, len(EMOTIONS))
        heads = (self.to_phones, self.to_letters, self.to_events, self.to_emotions)
        exclude_from_muon(heads)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """mel: (B, M, 2 T) -> logits of phones, letters, events, emotions, each (B, T, .)."""
        states = self.encoder(mel).last_hidden_state
        heads = (self.to_phones, self.to_letters, self.to_events, self.to_emotions)
        return tuple(head(states) for head in heads)


def trained_acoustic_encoder(run_dir: Path) -> WhisperEncoder:
    """The averaged encoder of a run, finished or not, without its readouts."""
    encoder = WhisperEncoder(shapes.acoustic_encoder_config())
    return load_averaged(encoder, run_dir, prefix="encoder.").eval()


def start_from_tokenizer(encoder: WhisperEncoder, run_dir: Path) -> None:
    """Copies convolutions and layers of a trained speech tokenizer."""
    trained = trained_speech_tokenizer(run_dir)
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
    """Tensors of some windows. phones, emotions: (B, T), -100 where unknown; events: (B, T, E)."""

    def __init__(self, cache: FeatureCache, windows: list[list[Entry]], device: str) -> None:
        mel = np.stack([window_mel(cache, window) for window in windows])
        frames = shapes.WINDOW_POSITIONS * FRAMES_PER_POSITION
        shape = (len(windows), frames)
        phones, emotions = np.full(shape, -100, np.int64), np.full(shape, -100, np.int64)
        events, listed = np.zeros((*shape, len(EVENT_CLASSES)), np.float32), np.zeros(shape, bool)
        self.lengths = torch.zeros(len(windows), dtype=torch.long)
        for row, window in enumerate(windows):
            begin = 0
            for entry in window:
                rows = slice(begin, begin + entry.length * FRAMES_PER_POSITION)
                phones[row, rows] = known_phones(cache, entry)
                if entry.tasks:  # only labelled sounds say what can be heard in them
                    events[row, rows] = event_bits(cache, entry)
                    listed[row, rows] = True
                if entry.emotion:
                    emotions[row, rows] = EMOTIONS.index(entry.emotion)
                begin = rows.stop
            self.lengths[row] = begin
        self.mel = torch.from_numpy(mel).transpose(1, 2).contiguous().to(device)
        self.phones = torch.from_numpy(phones).to(device)
        self.emotions = torch.from_numpy(emotions).to(device)
        self.events = torch.from_numpy(events).to(device)
        self.listed = torch.from_numpy(listed).to(device)
        self.texts = [_spelled(window) for window in windows]
        self.letters = [torch.tensor(letter_ids(text)) for text in self.texts]


def _spelled(window: list[Entry]) -> str:
    """What CTC should spell: nothing unless every utterance of the window is in letters."""
    texts = [entry.text for entry in window]
    return " ".join(texts) if all(letter_ids(text) for text in texts) else ""


def event_bits(cache: FeatureCache, entry: Entry) -> np.ndarray:
    """(frames, E) 1.0 while a sound of that class lasts."""
    bits = cache.events[entry.rows(FRAMES_PER_POSITION)]
    return (bits[:, None] >> np.arange(len(EVENT_CLASSES), dtype=np.uint64) & np.uint64(1)).astype(
        np.float32
    )


def losses_of(module: AcousticTraining, batch: WindowBatch) -> Losses:
    """Phones, events and emotion per frame, letters by CTC."""
    phones, letters, events, emotions = module(batch.mel)
    losses = {
        "phones": phone_loss_of(phones, batch.phones),
        "letters": letter_loss(letters, batch.letters, batch.lengths),
        "events": _event_loss(events, batch),
        "emotions": phone_loss_of(emotions, batch.emotions),
    }
    loss = losses["phones"] + losses["letters"]
    loss = loss + EVENT_WEIGHT * losses["events"] + EMOTION_WEIGHT * losses["emotions"]
    return {"loss": loss, **{name: value.detach() for name, value in losses.items()}}


def _event_loss(logits: Tensor, batch: WindowBatch) -> Tensor:
    """Binary cross-entropy, summed over the classes of a frame."""
    if not batch.listed.any():
        return logits.new_zeros(())
    known = batch.listed
    losses = F.binary_cross_entropy_with_logits(
        logits[known].float(), batch.events[known], reduction="none"
    )
    return losses.sum(-1).mean()


@torch.no_grad()
def evaluate(module: AcousticTraining, cache: FeatureCache, device: str) -> dict[str, float]:
    """What the readouts get right of utterances heard alone, per voice."""
    report: dict[str, float] = {}
    for voice in sorted({entry.voice for entry in cache.entries}):
        entries = [entry for entry in cache.entries if entry.voice == voice][:60]
        batch = WindowBatch(cache, [[entry] for entry in entries], device)
        phones, letters, events, emotions = module(batch.mel)
        said = [read_letters(letter_ids(text), collapse=False) for text in batch.texts]
        best = letters.argmax(-1).cpu()
        heard = [
            read_letters(best[row, : int(length)].tolist()) or " "
            for row, length in enumerate(batch.lengths)
        ]
        report |= _accuracy(f"{voice}_phone", phones.argmax(-1) == batch.phones, batch.phones >= 0)
        right = ((events > 0) == (batch.events > 0)).all(-1)
        report |= _accuracy(f"{voice}_event", right, batch.listed)
        known = batch.emotions >= 0
        report |= _accuracy(f"{voice}_emotion", emotions.argmax(-1) == batch.emotions, known)
        report |= spelling_errors(voice, said, heard)
    return report


def _accuracy(name: str, right: Tensor, known: Tensor) -> dict[str, float]:
    return {f"{name}_accuracy": float(right[known].float().mean())} if known.any() else {}


def _windows(cache: FeatureCache, size: int, rng: random.Random) -> Iterator[list[list[Entry]]]:
    while True:
        windows = pack(rng.sample(cache.entries, min(len(cache), size * 16)), rng)
        rng.shuffle(windows)
        for start in range(0, len(windows) - size + 1, size):
            yield windows[start : start + size]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", type=Path, nargs="+", required=True)
    parser.add_argument("--heldout", type=Path, nargs="+", required=True)
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
    windows = _windows(
        cache, args.batch, random.Random(args.seed + trainer.step + 7919 * trainer.rank)
    )

    def losses() -> Losses:
        return losses_of(module, WindowBatch(cache, next(windows), args.device))

    trainer.fit(losses, lambda averaged: evaluate(averaged, heldout, args.device))
