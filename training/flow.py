"""Trains the embedded checkpoint's flow matching: from semantic tokens to 24 kHz log-mel.

B batch, T time in mel frames, N time in tokens, M mel bands.

Inference turns a chunk of noise into mel while attending to the clean frames of earlier chunks.
Training asks for exactly this, for many chunks at once: a row is `[clean | noisy | noisy]`, copies
of one crop cut into blocks of random length, under the mask of `crops.block_mask`. Clean frames
carry the timestep that inference gives to finished ones. The last clean block is left out, since
nothing would look at it.

Source: conditional flow matching on straight paths (arXiv 2210.02747), from noise at time 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from kimi_demo.model.detokenizer.chunking import Chunker
from kimi_demo.model.detokenizer.config import FlowConfig, StreamingConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.mel_stream import MelStream, seeded_noise
from kimi_demo.model.detokenizer.solver import CLEAN_TIMESTEP, TIMESTEPS
from training import ears, sizes
from training.cache import MEL24_PER_POSITION, Cache, Entry
from training.crops import (
    CropSampler,
    block_mask,
    draw_blocks,
    mel_statistics,
    read_crop,
)
from training.loop import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    load_averaged,
    load_matching,
    options_from,
)
from training.speech_tokenizer import kind_of, split

HIDDEN_SIZE, DEPTH, HEADS = 256, 6, 4
EVALUATED_UPDATES = (4, 7, 15)
EVALUATED_TOKENS = 50  # of each utterance
_EMBEDDING_STD = 0.5


@dataclass(frozen=True)
class FlowRecipe:
    """What a batch looks like. Lengths are in tokens."""

    crop: int = 48
    tokens_per_batch: int = 384
    noisy_copies: int = 4  # of each clean crop, with other noise and times
    shortest_block: int = 4
    longest_block: int = 24
    token_dropout: float = 0.03  # the language model errs, too


class FlowLoss:
    """Mean squared error of the velocity on the noisy blocks of a random batch."""

    def __init__(self, flow: FlowTransformer, sampler: CropSampler, recipe: FlowRecipe) -> None:
        self.flow, self.sampler, self.recipe = flow, sampler, recipe

    def __call__(self) -> Losses:
        device, copies = self.flow.device, self.recipe.noisy_copies
        tokens, mel = self.sampler.draw()
        blocks = draw_blocks(tokens.shape[1], self.recipe.shortest_block, self.recipe.longest_block)
        past = blocks[blocks < blocks[-1]]  # all but the last block
        mask = block_mask(_per_frame(past), _per_frame(blocks), copies).to(device)
        mel = normalize(mel.to(device), self.flow.config)
        time = self._draw_times(len(tokens), blocks).to(device)  # (B, copies * N)
        target, noised = self._noised(mel, time)
        clean = len(past) * MEL24_PER_POSITION
        velocity = self.flow(
            torch.cat([mel[:, :clean], noised], dim=1),
            self._spoiled(_row(tokens, len(past), copies).to(device)),
            _timesteps(time, len(past)),
            _row(torch.arange(mel.shape[1])[None], clean, copies).to(device),
            mask=mask,
        )
        return {"loss": F.mse_loss(velocity[:, clean:].float(), target)}

    def _draw_times(self, rows: int, blocks: Tensor) -> Tensor:
        """A time in [0, 1) for every block: evenly drawn, or from the difficult middle."""
        shape = (rows, self.recipe.noisy_copies, int(blocks[-1]) + 1)
        middle = torch.sigmoid(torch.randn(shape))
        drawn = torch.where(torch.rand(shape) < 0.5, torch.rand(shape), middle)
        return drawn[:, :, blocks].flatten(1)

    def _noised(self, mel: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Velocity to learn and point on the path, both (B, copies * T, M)."""
        data = mel.repeat(1, self.recipe.noisy_copies, 1)
        noise = torch.randn_like(data)
        share = time.repeat_interleave(MEL24_PER_POSITION, dim=1)[..., None]
        return data - noise, noise + share * (data - noise)

    def _spoiled(self, tokens: Tensor) -> Tensor:
        """A few tokens become wrong or, by the spare row of the embedding, unknown."""
        unknown = self.flow.config.vocabulary_size
        wrong = torch.randint_like(tokens, unknown)
        coin = torch.rand(tokens.shape, device=tokens.device)
        wrong = torch.where(coin < 0.5, wrong, unknown)
        chance = torch.rand(tokens.shape, device=tokens.device)
        return torch.where(chance < self.recipe.token_dropout, wrong, tokens)


def normalize(mel: Tensor, config: FlowConfig) -> Tensor:
    """Log-mel at the scale that flow matching works at."""
    return (mel - config.mel_mean) / config.mel_std


def _per_frame(values: Tensor) -> Tensor:
    return values.repeat_interleave(MEL24_PER_POSITION)


def _row(values: Tensor, past: int, copies: int) -> Tensor:
    """(B, L) -> (B, past + copies * L): the layout `[clean | noisy * copies]`."""
    return torch.cat([values[:, :past], values.repeat(1, copies)], dim=1)


def _timesteps(time: Tensor, past: int) -> Tensor:
    """(B, past + copies * N): cut to integers, as the solver does."""
    noisy = (time * TIMESTEPS).floor().clamp(max=TIMESTEPS - 1)
    return torch.cat([torch.full_like(noisy[:, :1], CLEAN_TIMESTEP).expand(-1, past), noisy], dim=1)


def initialize(flow: FlowTransformer, codebook: Tensor | None = None) -> None:
    """Blocks start as identities; tokens that sound alike start alike if a codebook is given."""
    modulations = [part.adaLN_modulation[1] for part in [*flow.blocks, flow.final_layer]]
    for layer in [*modulations, flow.final_layer.linear]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    embedder = [part for part in flow.t_embedder.mlp if isinstance(part, nn.Linear)]
    exclude_from_muon([*modulations, *embedder, flow.input_linear, flow.final_layer.linear])
    rows = flow.semantic_token_embedding.weight.data
    nn.init.normal_(rows, std=_EMBEDDING_STD)
    if codebook is not None:
        centred = codebook - codebook.mean(0)
        projected = centred @ torch.randn(codebook.shape[1], rows.shape[1])
        rows[: len(codebook)] = projected * (_EMBEDDING_STD / projected.std())


def codebook_of(tokenizer_run: Path) -> Tensor:
    """(codes, width) entries of a trained speech tokenizer."""
    codebook = nn.Embedding(sizes.NUM_CODES, ears.WIDTH)
    return load_averaged(codebook, tokenizer_run, prefix="encoder.codebook.").weight.detach()


def stream_mel(
    flow: FlowTransformer, config: StreamingConfig, tokens: Sequence[int], seed: int
) -> Tensor:
    """Log-mel (T, M) of `tokens`, generated chunk by chunk as at run time."""
    stream = MelStream(flow, config, seeded_noise(seed, flow.config.mel_bins))
    chunker = Chunker(config)
    chunks = [*chunker.push(tokens), chunker.flush()]
    return torch.cat([stream.generate(chunk) for chunk in chunks if chunk]).cpu()


def evaluate(flow: FlowTransformer, cache: Cache, entries: Sequence[Entry]) -> dict[str, float]:
    """Mean distance of streamed to true log-mel, for several numbers of Euler updates."""
    crops = [read_crop(cache, e.start, min(e.length, EVALUATED_TOKENS)) for e in entries]
    return {
        f"mel_l1_{updates}_updates": _mean(
            float((_streamed(flow, tokens, updates, seed) - mel).abs().mean())
            for seed, (tokens, mel) in enumerate(crops)
        )
        for updates in EVALUATED_UPDATES
    }


def _streamed(flow: FlowTransformer, tokens: Tensor, updates: int, seed: int) -> Tensor:
    config = replace(StreamingConfig(**sizes.STREAMING), ode_grid_points=updates + 1)
    return stream_mel(flow, config, tokens.tolist(), seed)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def flow_config_of(run_dir: Path) -> FlowConfig:
    """The shape of a run's model and the statistics of the mel that it learned."""
    return FlowConfig.from_yaml(Path(run_dir) / "config.yaml")


def save_flow_config(config: FlowConfig, run_dir: Path) -> None:
    """Writes what `flow_config_of` reads."""
    content = yaml.safe_dump(config.to_yaml(), sort_keys=False)
    (Path(run_dir) / "config.yaml").write_text(content, encoding="utf-8")


def trained_flow(run_dir: Path) -> FlowTransformer:
    """The averaged weights of a run, finished or not."""
    flow = load_averaged(FlowTransformer(flow_config_of(run_dir)), run_dir)
    return flow.eval().requires_grad_(False)


def new_config(cache: Cache, entries: Sequence[Entry]) -> FlowConfig:
    """The embedded checkpoint's shape, with the mel statistics of `entries`."""
    mean, std = mel_statistics(cache, entries)
    return FlowConfig(
        mel_bins=sizes.MEL_BINS,
        vocabulary_size=sizes.NUM_CODES,
        hidden_size=HIDDEN_SIZE,
        depth=DEPTH,
        num_heads=HEADS,
        mel_mean=round(mean, 6),
        mel_std=round(std, 6),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, required=True, help="with codes-0")
    parser.add_argument("--tokenizer", type=Path, help="run folder, to start from its codebook")
    parser.add_argument("--start-from", type=Path, help="run whose layers to begin with")
    parser.add_argument("--evaluate-count", type=int, default=8)
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains the flow-matching transformer within the budget."""
    cache, recipe = Cache(args.cache), FlowRecipe()
    learned, held = split(cache)
    own = [entry for entry in learned if kind_of(entry) != "hear"]
    judged = [entry for entry in held if kind_of(entry) != "hear"][: args.evaluate_count]
    options = options_from(args)
    torch.manual_seed(args.seed)
    known = args.resume and (args.out / "config.yaml").exists()
    config = flow_config_of(args.out) if known else new_config(cache, own)
    flow = FlowTransformer(config)
    initialize(flow, codebook_of(args.tokenizer) if args.tokenizer else None)
    if args.start_from:
        load_matching(flow, args.start_from)
    trainer = Trainer(flow, options, args.out)
    save_flow_config(config, args.out)
    sampler = CropSampler(cache, own, recipe.crop, recipe.tokens_per_batch)
    losses = FlowLoss(flow, sampler, recipe)
    trainer.fit(losses, lambda averaged: evaluate(averaged, cache, judged))
