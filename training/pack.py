"""Puts trained parts together into a checkpoint in the published layout: float16, small files."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from kimi_demo.checkpoint.layout import (
    ACOUSTIC_FOLDER,
    FLOW_FOLDER,
    SPEECH_TOKENIZER_FOLDER,
    VOCODER_FOLDER,
)
from kimi_demo.checkpoint.loading import POSITIONS
from kimi_demo.model.detokenizer.loading import FLOW_PREFIX, VOCODER_PREFIX
from kimi_demo.model.text_tokenizer import TextTokenizer
from training import shapes
from training.train_acoustic import trained_acoustic_encoder
from training.train_flow import flow_config_of, trained_flow
from training.train_language_model import LanguageModelTraining
from training.train_speech_tokenizer import trained_speech_tokenizer
from training.train_vocoder import trained_vocoder
from training.training import load_averaged

MAX_SHARD_BYTES = 9_500_000
ABOUT = {
    "name": "nano",
    "label": (
        "nano: a tiny Kimi-Audio trained from scratch on synthetic speech and sounds. It knows a "
        "small everyday world in English and Mandarin and errs often; the released 7B model is far "
        "better."
    ),
    "languages": ["en", "zh"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--text-tokenizer", type=Path, help="folder; by default that of --out")
    for part in ("speech-tokenizer", "acoustic", "language-model", "flow", "vocoder"):
        parser.add_argument(f"--{part}", type=Path, help="run folder; without it, the part stays")


def run(args: argparse.Namespace) -> None:
    """Writes the parts that are given; weights are the averaged ones of each run."""
    args.out.mkdir(parents=True, exist_ok=True)
    if args.text_tokenizer:
        pack_text_tokenizer(args.text_tokenizer, args.out)
    pack_descriptions(args.out)
    if args.language_model:
        tokenizer = TextTokenizer.load(args.out)
        pack_language_model(args.language_model, args.out, tokenizer.special_ids)
    parts = (
        (args.speech_tokenizer, pack_speech_tokenizer, SPEECH_TOKENIZER_FOLDER),
        (args.acoustic, pack_acoustic_encoder, ACOUSTIC_FOLDER),
        (args.flow, pack_flow, FLOW_FOLDER),
        (args.vocoder, pack_vocoder, VOCODER_FOLDER),
    )
    for run_dir, pack_part, folder in parts:
        if run_dir:
            pack_part(run_dir, args.out / folder)


def pack_text_tokenizer(tokenizer: Path, out: Path) -> None:
    """The tokenizer's files."""
    for name in ("tiktoken.model", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, out / name)


def pack_descriptions(out: Path) -> None:
    """Prompts and the honest label."""
    defaults = dataclasses.asdict(type(shapes.task_table())())
    tasks = dataclasses.asdict(shapes.task_table())
    changed = {name: value for name, value in tasks.items() if value != defaults[name]}
    _write_json(out / "tasks.json", changed)
    _write_json(out / "checkpoint.json", ABOUT)


def pack_language_model(run_dir: Path, out: Path, special_ids: Mapping[str, int]) -> None:
    """config.json, shards and their index."""
    module = load_averaged(LanguageModelTraining(special_ids), run_dir)
    _write_json(out / "config.json", module.model.config.to_json())
    tensors = module.model.state_dict()
    groups = list(_shards(tensors))
    weight_map: dict[str, str] = {}
    for number, names in enumerate(groups, 1):
        file = f"model-{number}-of-{len(groups)}.safetensors"
        _save({name: tensors[name] for name in names}, out / file)
        weight_map |= dict.fromkeys(names, file)
    size = sum(2 * tensor.numel() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    _write_json(out / "model.safetensors.index.json", index)


def pack_speech_tokenizer(run_dir: Path, out: Path) -> None:
    """The half of the encoder before the codebook, and the codebook."""
    _save(_learned(trained_speech_tokenizer(run_dir)), out / "model.safetensors")
    shapes.speech_tokenizer_config().save_pretrained(out)
    shapes.feature_extractor().save_pretrained(out)


def pack_acoustic_encoder(run_dir: Path, out: Path) -> None:
    """Whisper's encoder under its published prefix."""
    state = _learned(trained_acoustic_encoder(run_dir))
    _save({f"model.encoder.{k}": v for k, v in state.items()}, out / "model.safetensors")
    shapes.acoustic_encoder_config().save_pretrained(out)
    shapes.feature_extractor().save_pretrained(out)


def pack_flow(run_dir: Path, out: Path) -> None:
    """The flow-matching transformer and how it streams."""
    flow = trained_flow(run_dir)
    state = flow.state_dict()
    _save({FLOW_PREFIX + k: v for k, v in state.items()}, out / "model.safetensors")
    content = {**flow_config_of(run_dir).to_yaml(), "streaming": shapes.STREAMING}
    (out / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def pack_vocoder(run_dir: Path, out: Path) -> None:
    """BigVGAN with its weight norm folded."""
    vocoder = trained_vocoder(run_dir)
    state = vocoder.published_tensors()
    _save({VOCODER_PREFIX + k: v for k, v in state.items()}, out / "model.safetensors")
    _write_json(out / "config.json", dataclasses.asdict(vocoder.config))


def _learned(encoder: nn.Module) -> dict[str, Tensor]:
    """All but the sinusoids, which the loader makes again."""
    return {name: tensor for name, tensor in encoder.state_dict().items() if name != POSITIONS}


def _shards(tensors: dict[str, Tensor]) -> Iterator[list[str]]:
    """Names in order, in groups of at most MAX_SHARD_BYTES of float16."""
    names: list[str] = []
    size = 0
    for name, tensor in tensors.items():
        if names and size + 2 * tensor.numel() > MAX_SHARD_BYTES:
            yield names
            names, size = [], 0
        names.append(name)
        size += 2 * tensor.numel()
    yield names


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
    save_file(half, path, metadata={"format": "pt"})


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
