"""Training of the embedded vocoder, in four phases.

``plain`` learns from scratch without anti-aliasing (half the cost), ``anti-aliased`` switches it on
and continues, ``adversarial`` lets an adversary take the buzz away, ``generated`` does so while it
adapts to mels that the flow-matching model made.

Axis letters: B batch, M mel bands, T frames, N samples.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kimi_demo.model.detokenizer.vocoder import Vocoder, fold_weight_norm
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.mel import log_mel
from training import sizes
from training.adversary import ADVERSARIAL_WEIGHT, MATCHING_WEIGHT, Adversary
from training.loop import Trainer, add_training_arguments, load_averaged, options_from
from training.shards import read_shards
from training.vocoder_data import (
    Batch,
    GeneratedPieces,
    MixedPieces,
    NaturalPieces,
    SpeechCache,
    write_speech_cache,
)

PIECE_FRAMES = 20
BATCH = 8
HELD_OUT = 24
"""Utterances at the end of the cache that are evaluated and never learned."""
LEARNING_RATES = {"plain": 1e-3, "anti-aliased": 6e-4, "adversarial": 3e-4, "generated": 2e-4}
ADVERSARIAL = ("adversarial", "generated")
MEL_WEIGHT = 3.0  # against the adversary
STFT_SIZES_HOPS = ((2048, 480), (1024, 240), (512, 120), (256, 60), (128, 30))

# Roughly the mean and spread of log-mel values of speech.
_MEL_CENTRE = -5.0
_MEL_SPREAD = 3.0


class Pieces(Protocol):
    """A source of training material."""

    def draw(self, batch: int, frames: int) -> Batch: ...


class TrainableVocoder(nn.Module):
    """The vocoder behind a standardisation of its input, which ``published`` folds away.

    The published form takes raw log-mel values, around -5; learning from these directly would let
    every step of the first convolution swing its output far up and down.
    """

    def __init__(self, config: VocoderConfig, anti_aliased: bool) -> None:
        super().__init__()
        self.vocoder = Vocoder(config, weight_norm=True, anti_aliased=anti_aliased)

    def forward(self, mel: Tensor) -> Tensor:  # (B, M, T) -> (B, T * hop_size)
        first = self.vocoder.conv_pre
        # Padded before it is standardised: only then do both forms agree at the edges.
        padded = F.pad(mel, (first.padding[0], first.padding[0]))
        standardised = (padded - _MEL_CENTRE) / _MEL_SPREAD
        return self.vocoder.synthesize(F.conv1d(standardised, first.weight, first.bias))

    @classmethod
    def of(cls, plain: Vocoder) -> TrainableVocoder:
        """The inverse of `published`: the same function, with magnitudes and directions apart."""
        trainable = cls(plain.config, anti_aliased=True)
        tensors = {name: tensor.float() for name, tensor in plain.published_tensors().items()}
        weight = tensors["conv_pre.weight"]
        tensors["conv_pre.bias"] = tensors["conv_pre.bias"] + _MEL_CENTRE * weight.sum((1, 2))
        tensors["conv_pre.weight"] = weight * _MEL_SPREAD
        for name, own in trainable.vocoder.published_tensors().items():
            folded = tensors.get(name.removesuffix("_v").removesuffix("_g"))
            if name.endswith("weight_v"):
                tensors[name] = folded
            elif name.endswith("weight_g"):
                tensors[name] = folded.flatten(1).norm(dim=1).view(own.shape)
        kept = trainable.vocoder.published_tensors()
        trainable.vocoder.load_published({name: tensors[name] for name in kept})
        return trainable

    def published(self) -> Vocoder:
        """The same function as a plain vocoder with anti-aliasing, ready to be stored."""
        tensors = fold_weight_norm(self.vocoder.published_tensors())
        weight = tensors["conv_pre.weight"] / _MEL_SPREAD
        tensors["conv_pre.weight"] = weight
        tensors["conv_pre.bias"] = tensors["conv_pre.bias"] - _MEL_CENTRE * weight.sum((1, 2))
        plain = Vocoder(self.vocoder.config).eval()
        plain.load_published(tensors)
        return plain


def trained_vocoder(run_dir: Path) -> Vocoder:
    """The averaged weights of a run, finished or not, as a plain vocoder."""
    module = load_averaged(TrainableVocoder(sizes.vocoder_config(), anti_aliased=True), run_dir)
    return module.published()


def spectral_loss(made: Tensor, true: Tensor) -> Tensor:
    """Distance of STFT magnitudes at five resolutions: mean |Δlog| plus relative Frobenius norm.

    Source: Parallel WaveGAN, arXiv 1910.11480. made, true: (B, N).
    """
    total = made.new_zeros(())
    for size, hop in STFT_SIZES_HOPS:
        ours, theirs = _magnitudes(made, size, hop), _magnitudes(true, size, hop)
        total = total + (ours.log() - theirs.log()).abs().mean()
        total = total + (ours - theirs).norm() / theirs.norm().clamp_min(1e-3)
    return total / len(STFT_SIZES_HOPS)


def vocoder_losses(
    module: nn.Module, batch: Batch, config: VocoderConfig, adversary: Adversary | None = None
) -> dict[str, Tensor]:
    """Spectral and mel distance of the synthesised to the true waveform, and their sum.

    An adversary first learns to tell the two apart, and then adds its part.
    """
    mel, true = batch
    made = module(mel)
    with torch.autocast(made.device.type, enabled=False):
        made = made.float()
        spectral = spectral_loss(made, true)
        mel_distance = (log_mel(made, config) - log_mel(true, config)).abs().mean()
    parts = {"spectral": spectral.detach(), "mel": mel_distance.detach()}
    if adversary is None:
        return {"loss": spectral + mel_distance, **parts}
    seen_through = adversary.learn(true, made)
    deceiving, matching = adversary.losses(true, made)
    pressure = ADVERSARIAL_WEIGHT * deceiving + MATCHING_WEIGHT * matching
    return {
        "loss": spectral + MEL_WEIGHT * mel_distance + pressure,
        **parts,
        "adversary": seen_through,
        "deceiving": deceiving.detach(),
        "matching": matching.detach(),
    }


def evaluate_vocoder(module: nn.Module, waveforms: list[Tensor], config: VocoderConfig) -> dict:
    """Copy synthesis of whole held-out utterances: mean mel distance and speed."""
    device = next(module.parameters()).device
    distances, synthesis_s, audio_s = [], 0.0, 0.0
    for waveform in waveforms:
        waveform = waveform[None].to(device)
        mel = log_mel(waveform, config)
        start = time.process_time()
        made = module(mel)
        synthesis_s += time.process_time() - start
        audio_s += made.shape[1] / config.sampling_rate
        distances.append((log_mel(made.float(), config) - mel).abs().mean().item())
    return {"mel": sum(distances) / len(distances), "rtf": synthesis_s / audio_s}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the training command."""
    add_training_arguments(parser)
    parser.add_argument("--phase", choices=tuple(LEARNING_RATES), default="plain")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the 24 kHz speech")
    parser.add_argument("--shards", type=Path, nargs="+", help="to fill an empty cache from")
    parser.add_argument("--start-from", type=Path, help="run whose weights to begin with")
    parser.add_argument("--generated", type=Path, help="folder of generated mels (*.npz)")
    parser.add_argument("--natural-share", type=float, default=0.25, help="in phase generated")
    parser.add_argument("--learning-rate", type=float, help="instead of the phase's own")


def run(args: argparse.Namespace) -> None:
    """Trains as the arguments say."""
    cache = _open_cache(args.cache, args.shards)
    config = sizes.vocoder_config()
    module = TrainableVocoder(config, anti_aliased=args.phase != "plain")
    if args.start_from is not None:
        load_averaged(module, args.start_from)
    options = options_from(
        args,
        learning_rate=args.learning_rate or LEARNING_RATES[args.phase],
        muon_learning_rate=0.0,
        betas=(0.8, 0.99),
        gradient_clip=10.0,
    )
    adversary = Adversary(options.device) if args.phase in ADVERSARIAL else None
    companions = {"adversary": adversary} if adversary else {}
    trainer = Trainer(module, options, args.out, companions)
    pieces = _pieces(args, cache.without_last(HELD_OUT), config)
    held_out = [cache.utterance(len(cache) - 1 - i) for i in range(HELD_OUT)]

    def losses() -> dict[str, Tensor]:
        mel, waveform = pieces.draw(BATCH, PIECE_FRAMES)
        batch = mel.to(options.device), waveform.to(options.device)
        return vocoder_losses(trainer.module, batch, config, adversary)

    trainer.fit(losses, lambda averaged: evaluate_vocoder(averaged, held_out, config))


def _open_cache(folder: Path, shards: list[Path] | None) -> SpeechCache:
    """The cache, filled from the output voices' shards if it is empty."""
    if shards is None or (folder / "offsets.npy").exists():
        return SpeechCache.load(folder)
    kinds = [f"out-{language}" for language in sizes.OUTPUT_VOICES]
    return write_speech_cache((samples for _, samples in read_shards(shards, kinds)), folder)


def _pieces(args: argparse.Namespace, cache: SpeechCache, config: VocoderConfig) -> Pieces:
    natural = NaturalPieces(cache, config)
    if args.phase != "generated":
        return natural
    generated = GeneratedPieces(args.generated, config, PIECE_FRAMES)
    return MixedPieces(natural, generated, args.natural_share)


def _magnitudes(waveform: Tensor, size: int, hop: int) -> Tensor:
    window = torch.hann_window(size, device=waveform.device)
    spectrum = torch.stft(waveform, size, hop, size, window, return_complex=True)
    return spectrum.abs().clamp_min(1e-5)
