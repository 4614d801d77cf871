"""The language model: one trunk, two branches, two heads, two streams in and two out.

Every position carries a text id and an audio id; their embeddings are added. On heard audio the
continuous features join in. The audio branch leaves the trunk before its last layers; the text
branch is the rest of the trunk. Tensor names are the published ones. Layers may lie on several
devices: see `Places`.
Axes: B rows, T positions, D width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kimi_demo.model.cache import Causal, MaskedDecode, Prefill, SlicedDecode, SlotCache
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.layers import DecoderLayer, Memory, RMSNorm, Rotary, RotaryTable
from kimi_demo.model.linear import FusedLinear
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.tensors import empty_modules

PREFILL_POSITIONS = 256  # read at once; between two such pieces other rows take a step

# The rest of one branch: shared states (B, T, D), positions (B, T), memory -> states (B, T, D).
Branch = Callable[[Tensor, Tensor, Memory], Tensor]


@dataclass(frozen=True)
class Logits:
    """Scores of the next ids of the rows that were asked for, (B, V), or (B, T, V) over a whole
    prompt; None where nobody asked. Of a model that was prepared for inference they begin with the
    ids `LanguageModel.text_rows` and `audio_rows`.
    """

    text: Tensor | None
    audio: Tensor | None


@dataclass(frozen=True)
class Feed:
    """What one row reads in a decode step, and which of its streams are to go on."""

    slot: int
    position: int
    text_id: int
    audio_id: int
    writes: bool = True
    speaks: bool = True


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
        depth, total = config.num_layers, config.num_cached_layers
        self.embed_tokens = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.vq_adaptor = Adaptor(config)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(depth))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mimo_layers = nn.ModuleList(DecoderLayer(config, i) for i in range(depth, total))
        self.mimo_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.rotary = RotaryTable(config)
        self.shared_depth = config.branch_layer + 1
        self.places: Places | None = None  # None: all on one device

    def embed(self, text_ids: Tensor, audio_ids: Tensor) -> Tensor:
        """Ids of the same shape (...) -> (..., D)."""
        return self.embed_tokens(audio_ids) + self.embed_tokens(text_ids)

    def embed_heard(
        self, text_ids: Tensor, audio_ids: Tensor, heard: Tensor, features: Tensor
    ) -> Tensor:
        """Embeds ids with heard audio among them.

        ids, heard: (..., T), heard true where audio was heard; features: (N, adaptor input), one
            row for each such position. There the audio part is (embedding + feature) * sqrt(2): two
            summands of like size keep the size of one. The text part comes after, unscaled.
        """
        audio = self.embed_tokens(audio_ids)
        adapted = self.vq_adaptor(features.to(self.norm.weight.dtype))
        joined = (audio[heard] + adapted.to(audio)) * math.sqrt(2)
        audio = audio.masked_scatter(heard[..., None], joined.to(audio.dtype))
        return audio + self.embed_tokens(text_ids)

    def share(self, x: Tensor, positions: Tensor, memory: Memory) -> Tensor:
        """The layers that both branches have in common: (B, T, D) -> (B, T, D).

        positions: (B, T).
        """
        return self._run(self.layers[: self.shared_depth], 0, x, positions, memory)

    def write(self, x: Tensor, positions: Tensor, memory: Memory) -> Tensor:
        """The rest of the text branch: shared states (B, T, D) -> normed states (B, T, D)."""
        rest = self.layers[self.shared_depth :]
        return self.norm(self._run(rest, self.shared_depth, x, positions, memory))

    def speak(self, x: Tensor, positions: Tensor, memory: Memory) -> Tensor:
        """The rest of the audio branch: shared states (B, T, D) -> normed states (B, T, D)."""
        first = len(self.layers)
        return self.mimo_norm(self._run(self.mimo_layers, first, x, positions, memory))

    def forward(self, x: Tensor, positions: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Both branches, for training: (B, T, D) -> two normed states (B, T, D)."""
        shared = self.share(x, positions, memory)
        return self.write(shared, positions, memory), self.speak(shared, positions, memory)

    def _run(
        self, layers: Iterable[nn.Module], first: int, x: Tensor, positions: Tensor, memory: Memory
    ) -> Tensor:
        rotary = self.rotary.at(positions, x.dtype)
        for index, layer in enumerate(layers, first):
            x = layer(x, self._moved(rotary, index), memory)
        return x

    def _moved(self, rotary: Rotary, layer: int) -> Rotary:
        if self.places is None:
            return rotary
        device = self.places.layers[layer]
        return rotary[0].to(device), rotary[1].to(device)


class LanguageModel(nn.Module):
    """Trunk and heads."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        self.mimo_output = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        self.text_rows = self.audio_rows = range(config.vocabulary_size)  # ids that are scored
        self._heads: tuple[FusedLinear, FusedLinear] | None = None

    @classmethod
    def empty(
        cls, config: LanguageModelConfig, device: torch.device | str = "cpu"
    ) -> LanguageModel:
        """A model on the meta device, still to be filled; rotary tables are real, on `device`."""
        with empty_modules():
            model = cls(config)
        model.model.rotary = RotaryTable(config, device)
        return model

    @property
    def device(self) -> torch.device:
        """Where ids go; logits lie where their head computes."""
        places = self.model.places
        return places.entry if places else self.model.embed_tokens.weight.device

    def fuse(self, text_rows: range, audio_rows: range) -> None:
        """Prepares a filled model of one precision on one device for inference: projections of one
        input are joined, and the heads score only the ids that can be drawn.
        """
        for layer in (*self.model.layers, *self.model.mimo_layers):
            assert isinstance(layer, DecoderLayer)
            layer.fuse()
        self.text_rows, self.audio_rows = text_rows, audio_rows
        heads = ((self.lm_head, text_rows), (self.mimo_output, audio_rows))
        text, audio = (FusedLinear([head], rows) for head, rows in heads)
        self._heads = text, audio

    def new_cache(self, slots: int, positions: int | None = None, fill: float = 0.0) -> SlotCache:
        """Memory for `slots` turns of at most `positions` (the model's limit if None)."""
        config, places = self.config, self.model.places
        return SlotCache(
            places.layers if places else (self.device,) * config.num_cached_layers,
            slots,
            config.num_kv_heads,
            min(positions or config.max_positions, config.max_positions),
            config.head_size,
            self.model.norm.weight.dtype,
            fill,
        )

    @torch.inference_mode()
    def prefill(
        self,
        prompt: PromptStreams,
        cache: SlotCache,
        slot: int,
        span: range | None = None,
        *,
        speaks: bool = True,
        all_positions: bool = False,
    ) -> Logits:
        """Reads the prompt's positions `span`, all of them if None, into one slot. Those before
        must have been read.

        speaks: whether the audio branch goes along.
        Returns: logits after the last position, (1, V); after each one, (1, T, V), if asked.
        """
        span = span or range(len(prompt))
        embedded = self._embed_prompt(prompt, span)[None]
        positions = torch.arange(span.start, span.stop, device=self.device)[None]
        memory = Prefill(cache, slot, span.start)
        shared = self.model.share(embedded, positions, memory)
        text = self.model.write(shared, positions, memory)
        audio = self.model.speak(shared, positions, memory) if speaks else None
        if not all_positions:
            text, audio = text[:, -1], None if audio is None else audio[:, -1]
        return self._scores(text, audio)

    @torch.inference_mode()
    def decode(self, feeds: Sequence[Feed], cache: SlotCache) -> Logits:
        """One step of several rows.

        Returns: text logits of the rows that write, audio logits of those that speak, (B, V) each,
        in the order of the feeds.
        """
        if self.device.type == "cpu":
            return self._decode_sliced(feeds, cache)
        return self._decode_masked(feeds, cache)

    def _decode_sliced(self, feeds: Sequence[Feed], cache: SlotCache) -> Logits:
        table = torch.tensor([(f.text_id, f.audio_id, f.position) for f in feeds])
        text_ids, audio_ids, positions = table.T
        memory = SlicedDecode(cache, [f.slot for f in feeds], [f.position for f in feeds])
        embedded = self._embed_step(text_ids, audio_ids)[:, None]
        shared = self.model.share(embedded, positions[:, None], memory)

        def branch(run: Branch, wanted: list[int]) -> Tensor | None:
            if not wanted:
                return None
            if len(wanted) == len(feeds):
                return run(shared, positions[:, None], memory)[:, 0]
            return run(shared[wanted], positions[wanted, None], memory.only(wanted))[:, 0]

        return self._scores(
            branch(self.model.write, [row for row, feed in enumerate(feeds) if feed.writes]),
            branch(self.model.speak, [row for row, feed in enumerate(feeds) if feed.speaks]),
        )

    def _decode_masked(self, feeds: Sequence[Feed], cache: SlotCache) -> Logits:
        """Rows are the cache's slots, idle ones included: shapes depend on the extent alone."""
        table = [[0, 0, cache.capacity] for _ in range(cache.num_slots)]
        for feed in feeds:
            table[feed.slot] = [feed.text_id, feed.audio_id, feed.position]
        text_ids, audio_ids, positions = torch.tensor(table).to(self.device).T
        memory = MaskedDecode(cache, positions, 1 + max(feed.position for feed in feeds))
        at = positions[:, None]
        shared = self.model.share(self._embed_step(text_ids, audio_ids)[:, None], at, memory)
        writing = [feed.slot for feed in feeds if feed.writes]
        speaking = [feed.slot for feed in feeds if feed.speaks]
        return self._scores(
            self.model.write(shared, at, memory)[writing, 0] if writing else None,
            self.model.speak(shared, at, memory)[speaking, 0] if speaking else None,
        )

    def _scores(self, text: Tensor | None, audio: Tensor | None) -> Logits:
        """States (..., D) through their heads."""
        write, speak = self._heads or (self.lm_head, self.mimo_output)
        return Logits(
            None if text is None else write(text), None if audio is None else speak(audio)
        )

    def forward(
        self, text_ids: Tensor, audio_ids: Tensor, heard: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Teacher-forced pass of training.

        ids, heard: (B, T); features: (N, adaptor input), rows for all heard positions in order.
        Returns: normed states of the text and the audio branch, (B, T, D).
        """
        if features.numel():
            embedded = self.model.embed_heard(text_ids, audio_ids, heard, features)
        else:
            embedded = self.model.embed(text_ids, audio_ids)
        positions = torch.arange(text_ids.shape[1], device=text_ids.device)[None]
        return self.model(embedded, positions, Causal())

    def _embed_step(self, text_ids: Tensor, audio_ids: Tensor) -> Tensor:
        """(B,) ids of a decode step -> (B, D)."""
        embedded = self.model.embed(text_ids, audio_ids)
        if self.config.drop_text_id_zero:
            silent = (text_ids == 0)[:, None]
            embedded = torch.where(silent, self.model.embed_tokens(audio_ids), embedded)
        return embedded

    def _embed_prompt(self, prompt: PromptStreams, span: range) -> Tensor:
        """(T, D) of the positions in the span."""
        part = slice(span.start, span.stop)
        text = torch.tensor(prompt.text_ids[part], device=self.device)
        audio = torch.tensor(prompt.audio_ids[part], device=self.device)
        heard = torch.tensor(prompt.heard[part], device=self.device)
        if not heard.any():
            return self.model.embed(text, audio)
        before = sum(prompt.heard[: span.start])
        features = prompt.matched_features()[before : before + int(heard.sum())]
        return self.model.embed_heard(text, audio, heard, features.to(self.device))
