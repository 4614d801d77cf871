"""Fills the model's parts from a checkpoint, each on the device that the placement gives it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers.models.whisper.modeling_whisper import sinusoids

from kimi_demo.checkpoint.layout import CONFIG, Layout
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.loading import load_detokenizer
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from kimi_demo.model.tensors import StoredTensor, fill, stored_in
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.tasks import TaskTable

POSITIONS = "embed_positions.weight"
_ROTARY = "rotary_emb.inv_freq"  # stored by the release, computed here
_ENCODER_PREFIX = "model.encoder."


@dataclass(frozen=True)
class About:
    """What a checkpoint says of itself in checkpoint.json and, at length, in CARD.md."""

    name: str = "Kimi-Audio"
    label: str = "Kimi-Audio as released."
    languages: tuple[str, ...] = ("en", "zh")
    card: str = ""

    @classmethod
    def read(cls, folder: Path) -> About:
        card_path, path = folder / "CARD.md", folder / "checkpoint.json"
        card = card_path.read_text(encoding="utf-8") if card_path.exists() else ""
        if not path.exists():
            return cls(card=card)
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(values["name"], values["label"], tuple(values["languages"]), card)


@dataclass
class Checkpoint:
    """All parts of the model, filled and in their places."""

    about: About
    tasks: TaskTable
    text_tokenizer: TextTokenizer
    vocabulary: Vocabulary
    speech_tokenizer: SpeechTokenizer
    acoustic_encoder: AcousticEncoder
    language_model: LanguageModel
    detokenizer: StreamingDetokenizer

    @property
    def device(self) -> torch.device:
        """Where the language model begins."""
        return self.language_model.device

    @property
    def parameters(self) -> int:
        """Learned values of all parts."""
        parts: tuple[nn.Module, ...] = (
            self.speech_tokenizer.encoder,
            self.acoustic_encoder.encoder,
            self.language_model,
            self.detokenizer.flow,
            self.detokenizer.vocoder,
        )
        return sum(p.numel() for part in parts for p in part.parameters())


def load(layout: Layout, placement: Placement) -> Checkpoint:
    """Loads every part.

    Raises: CheckpointError naming the file if one is missing or does not fit.
    """
    config = LanguageModelConfig.from_json(layout.root / CONFIG)
    text_tokenizer = TextTokenizer.load(layout.root)
    vocabulary = Vocabulary.from_names(
        text_tokenizer.special_ids, config.audio_token_offset, config.pad
    )
    return Checkpoint(
        about=About.read(layout.root),
        tasks=TaskTable.load(layout.root / "tasks.json"),
        text_tokenizer=text_tokenizer,
        vocabulary=vocabulary,
        speech_tokenizer=load_speech_tokenizer(layout.speech_tokenizer, placement.speech_tokenizer),
        acoustic_encoder=load_acoustic_encoder(
            layout.acoustic_encoder, placement.acoustic_encoder, placement.dtype
        ),
        language_model=load_language_model(
            layout.root, config, placement.main_device, placement.dtype
        ),
        detokenizer=load_detokenizer(
            layout.flow, layout.vocoder, placement.detokenizer, placement.dtype
        ),
    )


def load_language_model(
    folder: Path, config: LanguageModelConfig, device: torch.device, dtype: torch.dtype
) -> LanguageModel:
    """The language model from one file or from the shards of an index."""
    model = LanguageModel.empty(config, device)
    fill(model, learned_tensors(folder), folder, device, dtype)
    return model.eval().requires_grad_(False)


def learned_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Of the language model, without the tables that the release stores and a formula gives."""
    stored = stored_in(folder)
    return {name: tensor for name, tensor in stored.items() if not name.endswith(_ROTARY)}


def load_speech_tokenizer(folder: Path, device: torch.device) -> SpeechTokenizer:
    """The half of its encoder that is used, and its codebook; the release's file holds more."""
    tokenizer = SpeechTokenizer.build(folder)
    used = tokenizer.encoder.state_dict()
    stored = {name: tensor for name, tensor in stored_in(folder).items() if name in used}
    _fill_encoder(tokenizer.encoder, stored, folder, device, torch.float32)
    return tokenizer


def load_acoustic_encoder(
    folder: Path, device: torch.device, dtype: torch.dtype
) -> AcousticEncoder:
    """Whisper's encoder; the decoder in the same file is not read."""
    acoustic = AcousticEncoder.build(folder)
    stored = {
        name.removeprefix(_ENCODER_PREFIX): tensor
        for name, tensor in stored_in(folder).items()
        if name.startswith(_ENCODER_PREFIX)
    }
    _fill_encoder(acoustic.encoder, stored, folder, device, dtype)
    return acoustic


def _fill_encoder(
    encoder: nn.Module,
    stored: Mapping[str, StoredTensor],
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Whisper's sinusoids may be missing from the file; they are a formula, nothing learned."""
    fixed = {}
    if POSITIONS not in stored:
        fixed[POSITIONS] = sinusoids(*encoder.get_parameter(POSITIONS).shape)
    fill(encoder, stored, folder, device, dtype, fixed)
    encoder.eval().requires_grad_(False)
