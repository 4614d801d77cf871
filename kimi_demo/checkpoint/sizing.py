"""What has to be placed, in bytes, before anything of it is in memory.

The language model is cut into blocks that are never split: the embedding, a decoder layer, a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from kimi_demo.checkpoint.layout import CONFIG, Layout
from kimi_demo.checkpoint.placement import GIB, Quantization
from kimi_demo.checkpoint.quantization import scheme, stored_bytes
from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.loading import empty_flow
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.speech_tokenizer import SpeechTokenizer

Offload = Literal["cpu", "disk"]  # "disk": to main memory first

TOKENIZER, ENCODER, DETOKENIZER = "speech tokenizer", "acoustic encoder", "flow and vocoder"
ENCODERS = (TOKENIZER, ENCODER)
TOGETHER = {  # small module -> the block beside which it computes
    "model.vq_adaptor": "model.embed_tokens",
    "model.norm": "lm_head",
    "model.mimo_norm": "mimo_output",
}
# Beside the weights. Both are upper bounds, so that a plan that fits does not fail while it runs.
RUNTIME_BYTES = GIB // 2  # of each GPU: the driver's context, kernels, fragmentation
SPEECH_WORKING_BYTES = GIB // 4  # of each speech part: activations of a window or chunk, its cache


@dataclass(frozen=True)
class Parts:
    """What has to be placed. The numbers count values; nothing of it is in memory."""

    language_model: LanguageModelConfig
    speech_tokenizer: int
    acoustic_encoder: int
    detokenizer: int

    @classmethod
    def of(cls, layout: Layout) -> Parts:
        """From the configuration files alone.

        Raises: CheckpointError if one is incomplete.
        """
        with torch.device("meta"):
            vocoder = Vocoder(VocoderConfig.from_json(layout.vocoder / CONFIG))
        return cls(
            LanguageModelConfig.from_json(layout.root / CONFIG),
            _count(SpeechTokenizer.build(layout.speech_tokenizer).encoder),
            _count(AcousticEncoder.build(layout.acoustic_encoder).encoder),
            _count(empty_flow(layout.flow)) + _count(vocoder),
        )


@dataclass(frozen=True)
class Wish:
    """What is to be placed and how; everything that sizes depend on."""

    parts: Parts
    dtype: torch.dtype
    quantization: Quantization | None
    offload: Offload | None
    positions: int
    on_gpu: bool

    def weights(self) -> dict[str, int]:
        """Block of the language model -> bytes of its weights."""
        config, sizes = self.parts.language_model, {}
        for name, tensor in _tensors(config).items():
            kind = scheme(config, self.quantization, name.rpartition(".")[0])
            if not name.endswith(".weight"):
                kind = ""
            block = _block_of(name)
            size = stored_bytes(tensor, kind, self.dtype, self.on_gpu)
            sizes[block] = sizes.get(block, 0) + size
        return sizes

    def speech(self) -> dict[str, int]:
        """Speech part -> bytes of its weights."""
        size, parts = self.dtype.itemsize, self.parts
        return {
            TOKENIZER: parts.speech_tokenizer * torch.float32.itemsize,
            ENCODER: parts.acoustic_encoder * size,
            DETOKENIZER: parts.detokenizer * size,
        }

    def cache(self) -> int:
        """Bytes of keys and values of one layer."""
        config = self.parts.language_model
        values = 2 * config.num_kv_heads * self.positions * config.head_size
        return values * self.dtype.itemsize

    def working(self) -> int:
        """Bytes of activations where layers compute, at most: reading a prompt of all positions.

        States, the three products of the feed-forward part, the mask (as bool and added), and, if
        quantised, the largest weight unpacked for its product.
        """
        config, size = self.parts.language_model, self.dtype.itemsize
        rows = self.positions * (6 * config.hidden_size + 3 * config.intermediate_size) * size
        mask = self.positions**2 * (1 + size)
        head = config.vocabulary_size * config.hidden_size * size
        return rows + mask + (head if self.quantization else 0)


def with_working(speech: Mapping[str, int]) -> dict[str, int]:
    return {name: size + SPEECH_WORKING_BYTES for name, size in speech.items()}


def stretches(config: LanguageModelConfig) -> tuple[list[str], list[str], list[str]]:
    """Blocks in the order of computation: what both branches share, text branch, audio branch."""
    trunk = [f"model.layers.{index}" for index in range(config.num_layers)]
    mimo = [f"model.mimo_layers.{index}" for index in range(config.num_audio_layers)]
    split = config.branch_layer + 1
    return (
        ["model.embed_tokens", *trunk[:split]],
        [*trunk[split:], "lm_head"],
        [*mimo, "mimo_output"],
    )


def block_names(config: LanguageModelConfig) -> list[str]:
    """All of them, and the small modules beside them."""
    return [*chain.from_iterable(stretches(config)), *TOGETHER]


@lru_cache(maxsize=1)
def _tensors(config: LanguageModelConfig) -> dict[str, Tensor]:
    """All of the language model's, on the meta device."""
    return LanguageModel.empty(config, "meta").state_dict()


def _block_of(tensor: str) -> str:
    """A layer of a stack, or the embedding or a head with the small modules beside it."""
    depth = 3 if tensor.startswith(("model.layers.", "model.mimo_layers.")) else 2
    names = tensor.split(".")
    module = ".".join(names[: depth if names[0] == "model" else 1])
    return TOGETHER.get(module, module)


def _count(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))
