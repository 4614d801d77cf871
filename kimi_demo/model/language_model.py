"""The language model: one trunk, two branches, two heads, two streams in and two out.

Every position carries a text id and an audio id; their embeddings are added. On heard audio the
continuous features join in. The audio branch leaves the trunk before its last layers; the text
branch is the rest of the trunk. Layers are transformers' Qwen2 layers; tensor names are the
published ones. Layers may lie on several devices: see `Places`.
Axes: B slots, T time, D width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import (
    Qwen2DecoderLayer,
    Qwen2RMSNorm,
    Qwen2RotaryEmbedding,
)

from kimi_demo.model.cache import CacheView, SlotCache
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.prompt import PromptStreams


@dataclass(frozen=True)
class Logits:
    """Scores of the next ids. text, audio: (B, V) after decode, (B, T, V) over a whole prompt."""

    text: Tensor
    audio: Tensor


@dataclass(frozen=True)
class Places:
    """Where a model computes that is spread over devices; hooks on its modules move the states.

    entry: device of the embedding, where ids go. layers: of each cached layer.
    """

    entry: torch.device
    layers: tuple[torch.device, ...]


class Adaptor(nn.Module):
    """Acoustic features to the width of the model. `layers` numbers are those of the published
    names.
    """

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.layers = nn.Sequential(
            nn.Linear(config.adaptor_input_size, width),
            nn.SiLU(),
            nn.Identity(),  # the dropout of training
            nn.Linear(width, width),
            nn.LayerNorm(width, eps=config.norm_eps),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, adaptor input) -> (N, D)."""
        return self.layers(features)


class Trunk(nn.Module):
    """Embedding, layers and norms of both branches; published prefix `model.`."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        qwen2 = config.qwen2()
        depth, total = config.num_layers, config.num_cached_layers
        self.embed_tokens = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.vq_adaptor = Adaptor(config)
        self.layers = nn.ModuleList(Qwen2DecoderLayer(qwen2, i) for i in range(depth))
        self.norm = Qwen2RMSNorm(config.hidden_size, config.norm_eps)
        self.mimo_layers = nn.ModuleList(Qwen2DecoderLayer(qwen2, i) for i in range(depth, total))
        self.mimo_norm = Qwen2RMSNorm(config.hidden_size, config.norm_eps)
        self.rotary = Qwen2RotaryEmbedding(qwen2)
        self.branch_layer = config.branch_layer
        self.places: Places | None = None  # None: all on one device

    def embed(self, text_ids: Tensor, audio_ids: Tensor) -> Tensor:
        """Ids of the same shape (...) -> (..., D)."""
        return self.embed_tokens(audio_ids) + self.embed_tokens(text_ids)

    def embed_heard(
        self, text_ids: Tensor, audio_ids: Tensor, heard: Tensor, features: Tensor
    ) -> Tensor:
        """Embeds a prompt with audio in it.

        ids: (T,); heard: (T,) bool, true where audio was heard; features: (N, adaptor input), one
            row for each such position. There the audio part is (embedding + feature) * sqrt(2): two
            summands of like size keep the size of one. The text part comes after, unscaled.
        """
        audio = self.embed_tokens(audio_ids)
        adapted = self.vq_adaptor(features.to(audio.dtype)).to(audio.device)
        audio[heard] = (audio[heard] + adapted) * math.sqrt(2)
        return audio + self.embed_tokens(text_ids)

    def forward(
        self, x: Tensor, positions: Tensor, visible: Tensor | None, cache: CacheView | None
    ) -> tuple[Tensor, Tensor]:
        """(B, T, D) -> normed states of the text branch and of the audio branch, each (B, T, D).

        visible: (B, 1, T, S) attention mask; None is plain causal attention (training).
        """
        guides = self._guides(visible, self.rotary(x, positions))
        audio = x
        for index, layer in enumerate(self.layers):
            mask, rotary = next(guides)
            x = layer(x, mask, past_key_values=cache, position_embeddings=rotary)
            if index == self.branch_layer:
                audio = x
        for layer in self.mimo_layers:
            mask, rotary = next(guides)
            audio = layer(audio, mask, past_key_values=cache, position_embeddings=rotary)
        return self.norm(x), self.mimo_norm(audio)

    def _guides(
        self, visible: Tensor | None, rotary: tuple[Tensor, Tensor]
    ) -> Iterator[tuple[Tensor | None, tuple[Tensor, Tensor]]]:
        """Mask and rotary tables for each layer in turn, moved once to each device."""
        if self.places is None:
            return repeat((visible, rotary))
        devices = self.places.layers
        moved = {
            device: (
                None if visible is None else visible.to(device),
                (rotary[0].to(device), rotary[1].to(device)),
            )
            for device in dict.fromkeys(devices)
        }
        return iter([moved[device] for device in devices])


class LanguageModel(nn.Module):
    """Trunk and heads. Both heads score the full vocabulary."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        self.mimo_output = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)

    @classmethod
    def empty(
        cls, config: LanguageModelConfig, device: torch.device | str = "cpu"
    ) -> LanguageModel:
        """A model on the meta device, still to be filled; rotary tables are real, on `device`."""
        with torch.device("meta"):
            model = cls(config)
        model.model.rotary = Qwen2RotaryEmbedding(config.qwen2()).to(device)
        return model

    @property
    def device(self) -> torch.device:
        """Where ids go; logits lie where their head computes."""
        places = self.model.places
        return places.entry if places else self.lm_head.weight.device

    def new_cache(self, slots: int, positions: int | None = None) -> SlotCache:
        """Memory for `slots` requests of at most `positions` (the model's limit if None)."""
        config, places = self.config, self.model.places
        return SlotCache(
            places.layers if places else (self.device,) * config.num_cached_layers,
            slots,
            config.num_kv_heads,
            positions or config.max_positions,
            config.head_size,
            self.lm_head.weight.dtype,
        )

    @torch.inference_mode()
    def prefill(
        self, prompt: PromptStreams, cache: SlotCache, slot: int, all_positions: bool = False
    ) -> Logits:
        """Reads a whole prompt into one slot; positions 0 to T - 1.

        Returns: logits after the last position, (1, V); after each one, (1, T, V), if asked.
        """
        embedded = self._embed_prompt(prompt)[None]
        positions = torch.arange(len(prompt), device=self.device)[None]
        view = cache.view(positions, len(prompt), slot)
        text, audio = self.model(embedded, positions, view.visible(), view)
        if not all_positions:
            text, audio = text[:, -1], audio[:, -1]
        return Logits(self.lm_head(text), self.mimo_output(audio))

    @torch.inference_mode()
    def decode(
        self, text_ids: Tensor, audio_ids: Tensor, positions: Tensor, cache: SlotCache, extent: int
    ) -> Logits:
        """One step of all slots.

        text_ids, audio_ids, positions: (B,), B the cache's slots; an idle slot may hold anything.
        extent: number of positions that attention reads, more than the largest position.
        Returns: logits (B, V).
        """
        embedded = self.model.embed(text_ids, audio_ids)[:, None]
        if self.config.drop_text_id_zero:
            silent = (text_ids == 0)[:, None, None]
            embedded = torch.where(silent, self.model.embed_tokens(audio_ids)[:, None], embedded)
        view = cache.view(positions[:, None], extent)
        text, audio = self.model(embedded, positions[:, None], view.visible(), view)
        return Logits(self.lm_head(text[:, 0]), self.mimo_output(audio[:, 0]))

    def forward(
        self, text_ids: Tensor, audio_ids: Tensor, heard: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Teacher-forced pass of training.

        ids, heard: (B, T); features: (N, adaptor input), rows for all heard positions in order.
        Returns: normed states of the text and the audio branch, (B, T, D).
        """
        audio = self.model.embed_tokens(audio_ids)
        if features.numel():
            adapted = self.model.vq_adaptor(features).to(audio.dtype)
            audio = audio.masked_scatter(heard[..., None], (audio[heard] + adapted) * math.sqrt(2))
        embedded = audio + self.model.embed_tokens(text_ids)
        positions = torch.arange(text_ids.shape[1], device=text_ids.device)[None]
        return self.model(embedded, positions, None, None)

    def _embed_prompt(self, prompt: PromptStreams) -> Tensor:
        text = torch.tensor(prompt.text_ids, device=self.device)
        audio = torch.tensor(prompt.audio_ids, device=self.device)
        heard = torch.tensor(prompt.heard, device=self.device)
        if not heard.any():
            return self.model.embed(text, audio)
        features = prompt.matched_features().to(self.device)
        return self.model.embed_heard(text, audio, heard, features)
