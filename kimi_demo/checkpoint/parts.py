"""The modules of one checkpoint, as its configuration files describe them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from kimi_demo.checkpoint.layout import CONFIG, Layout
from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.loading import empty_flow
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from kimi_demo.model.tensors import empty_modules


@dataclass(frozen=True)
class EmptyParts:
    """All on the meta device: names and shapes, no values."""

    language_model: LanguageModel
    speech_tokenizer: nn.Module
    acoustic_encoder: nn.Module
    flow: FlowTransformer
    vocoder: Vocoder

    @classmethod
    def of(cls, layout: Layout) -> EmptyParts:
        """Raises: CheckpointError if a configuration file is incomplete."""
        with empty_modules():
            vocoder = Vocoder(VocoderConfig.from_json(layout.vocoder / CONFIG))
        return cls(
            LanguageModel.empty(LanguageModelConfig.from_json(layout.root / CONFIG)),
            SpeechTokenizer.build(layout.speech_tokenizer).encoder,
            AcousticEncoder.build(layout.acoustic_encoder).encoder,
            empty_flow(layout.flow),
            vocoder,
        )

    def published_vocoder(self) -> Vocoder:
        """Its weight norm in pairs; nothing that loads needs that, and torch's compiler is imported
        for it, 60 MB."""
        with empty_modules():
            return Vocoder(self.vocoder.config, weight_norm=True)


def num_values(module: nn.Module) -> int:
    """Of parameters and buffers."""
    return sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))
