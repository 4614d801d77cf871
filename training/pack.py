"""Puts trained parts together into a checkpoint in the published layout: float16, small files."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from kimi_demo.checkpoint import loading
from kimi_demo.checkpoint.layout import (
    ACOUSTIC_FOLDER,
    FLOW_FOLDER,
    SPEECH_TOKENIZER_FOLDER,
    VOCODER_FOLDER,
    Layout,
)
from kimi_demo.checkpoint.loading import POSITIONS
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.checkpoint.writing import write
from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.loading import FLOW_PREFIX, VOCODER_PREFIX
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.tasks import TaskTable
from training import ears, sizes
from training.checkpoint import ABOUT, task_table
from training.flow import flow_config_of, trained_flow
from training.language_model import LanguageModelTraining
from training.loop import load_averaged
from training.speech_tokenizer import trained_speech_tokenizer
from training.vocoder import trained_vocoder

MAX_SHARD_BYTES = 9_500_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--text-tokenizer", type=Path, help="folder; by default that of --out")
    parser.add_argument("--whisper", help="faster-whisper folder, size or hub id: the encoder")
    for part in ("speech-tokenizer", "language-model", "flow", "vocoder"):
        parser.add_argument(f"--{part}", type=Path, help="run folder; without it, the part stays")


def run(args: argparse.Namespace) -> None:
    """Writes the parts that are given; weights are the averaged ones of each run."""
    args.out.mkdir(parents=True, exist_ok=True)
    if args.text_tokenizer:
        pack_text_tokenizer(args.text_tokenizer, args.out)
    if args.language_model:
        pack_language_model(args.language_model, args.out)
    if args.whisper:
        pack_acoustic_encoder(args.whisper, args.out / ACOUSTIC_FOLDER)
    parts = (
        (args.speech_tokenizer, pack_speech_tokenizer, SPEECH_TOKENIZER_FOLDER),
        (args.flow, pack_flow, FLOW_FOLDER),
        (args.vocoder, pack_vocoder, VOCODER_FOLDER),
    )
    for run_dir, pack_part, folder in parts:
        if run_dir:
            pack_part(run_dir, args.out / folder)
    pack_descriptions(args.out)


def learned_values(root: Path) -> int:
    """Of all parts, as an engine counts them; 0 while some are missing."""
    try:
        layout = Layout.of(root)
    except CheckpointError:
        return 0
    return loading.load(layout, Placement.on("cpu")).parameters


def pack_text_tokenizer(tokenizer: Path, out: Path) -> None:
    """The tokenizer's files."""
    for name in ("tiktoken.model", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, out / name)


def pack_descriptions(out: Path) -> None:
    """Prompts and the honest label."""
    defaults, tasks = TaskTable().values(), task_table().values()
    changed = {name: value for name, value in tasks.items() if value != defaults[name]}
    _write_json(out / "tasks.json", changed)
    _write_json(out / "checkpoint.json", ABOUT | {"parameters": learned_values(out)})


def pack_language_model(run_dir: Path, out: Path) -> None:
    """config.json, shards and their index."""
    module = load_averaged(LanguageModelTraining(TextTokenizer.load(out)), run_dir)
    _write_json(out / "config.json", module.model.config.to_json())
    _save(module.model.state_dict(), out)


def pack_speech_tokenizer(run_dir: Path, out: Path) -> None:
    """The part of the encoder before the codebook, and the codebook."""
    _save(_learned(trained_speech_tokenizer(run_dir)), out)
    sizes.speech_tokenizer_config().save_pretrained(out)
    ears.feature_extractor().save_pretrained(out)


def pack_acoustic_encoder(whisper: str, out: Path) -> None:
    """Whisper base's encoder under its published prefix."""
    state = _learned(ears.load_encoder(ears.find_whisper(whisper)))
    _save({f"model.encoder.{k}": v for k, v in state.items()}, out)
    ears.config(pad_seconds=sizes.PAD_SECONDS).save_pretrained(out)
    ears.feature_extractor().save_pretrained(out)


def pack_flow(run_dir: Path, out: Path) -> None:
    """The flow-matching transformer and how it streams."""
    flow = trained_flow(run_dir)
    state = flow.state_dict()
    _save({FLOW_PREFIX + k: v for k, v in state.items()}, out)
    content = {**flow_config_of(run_dir).to_yaml(), "streaming": sizes.STREAMING}
    (out / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def pack_vocoder(run_dir: Path, out: Path) -> None:
    """BigVGAN with its weight norm folded."""
    vocoder = trained_vocoder(run_dir)
    state = vocoder.published_tensors()
    _save({VOCODER_PREFIX + k: v for k, v in state.items()}, out)
    _write_json(out / "config.json", dataclasses.asdict(vocoder.config))


def _learned(encoder: nn.Module) -> dict[str, Tensor]:
    """All but the sinusoids, which the loader makes again."""
    return {name: tensor for name, tensor in encoder.state_dict().items() if name != POSITIONS}


def _save(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """In float16, in files small enough for a Space without large-file storage."""
    half = {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
    write(half, folder, MAX_SHARD_BYTES)


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
