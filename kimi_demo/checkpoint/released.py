"""The sizes of the release, as its configuration files give them, and the same in miniature.

They tell how large everything is without a single file of weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice, product
from pathlib import Path

import yaml
from transformers import WhisperConfig, WhisperFeatureExtractor

from kimi_demo.checkpoint.layout import (
    ACOUSTIC_FOLDER,
    CONFIG,
    FLOW_CONFIG,
    FLOW_FOLDER,
    SPEECH_TOKENIZER_FOLDER,
    TEXT_TOKENIZER,
    VOCODER_FOLDER,
    Layout,
)
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.config import FlowConfig
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.text_tokenizer import write_ranks
from kimi_demo.model.vocabulary import Vocabulary


@dataclass(frozen=True)
class Sizes:
    """Every configuration of one checkpoint. base_tokens: ids that stand for text.

    encoder: of Whisper, in the names of its configuration. tokenizer_layers: of the same encoder,
    that the speech tokenizer uses.
    """

    language_model: LanguageModelConfig
    base_tokens: int
    encoder: Mapping[str, int]
    tokenizer_layers: int
    flow: FlowConfig
    vocoder: VocoderConfig

    @property
    def published_values(self) -> int:
        """Of the language model's files: what is learned, and a rotary table for each layer."""
        config = self.language_model
        learned = sum(p.numel() for p in LanguageModel.empty(config, "meta").parameters())
        return learned + config.num_cached_layers * (config.head_size // 2)

    def acoustic_encoder(self) -> WhisperConfig:
        """whisper-large-v3/config.json, as far as its encoder is concerned."""
        return WhisperConfig(**self.encoder)

    def speech_tokenizer(self) -> WhisperConfig:
        """The configuration of the speech tokenizer, as GLM-4-Voice published it."""
        return WhisperConfig(
            **self.encoder,
            pooling_kernel_size=4,
            pooling_type="avg",
            pooling_position=self.tokenizer_layers,
            quantize_position=self.tokenizer_layers,
            quantize_vocab_size=self.flow.vocabulary_size,
            quantize_causal_block_size=200,
            quantize_encoder_only=True,
            encoder_causal_convolution=True,
            encoder_causal_attention=False,
            quantize_causal_encoder=False,
        )


RELEASED = Sizes(
    LanguageModelConfig(
        vocabulary_size=168_448,
        hidden_size=3584,
        intermediate_size=18_944,
        num_layers=28,
        num_heads=28,
        num_kv_heads=4,
        num_audio_layers=6,
        branch_layer=21,
        audio_token_offset=152_064,
        adaptor_input_size=5120,
        media_begin=151_661,
        media_end=151_663,
        pad=152_063,
    ),
    base_tokens=151_643,
    encoder={
        "num_mel_bins": 128,
        "d_model": 1280,
        "encoder_layers": 32,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "max_source_positions": 1500,
    },
    tokenizer_layers=16,
    flow=FlowConfig(),
    vocoder=VocoderConfig(
        upsample_rates=(5, 2, 2, 2, 2, 3, 2),
        upsample_kernel_sizes=(9, 4, 4, 4, 4, 5, 4),
        upsample_initial_channel=2048,
        resblock_kernel_sizes=(3, 5, 7, 11),
        resblock_dilation_sizes=((1, 3, 5),) * 4,
        use_tanh_at_final=False,
        use_bias_at_final=False,
    ),
)


def tiny(base_tokens: int = 320, codes: int = 64, encoder_width: int = 32) -> Sizes:
    """The release with every width and depth cut down, so that a CPU computes it at once."""
    ids = Vocabulary.published(base_tokens)
    return Sizes(
        replace(
            RELEASED.language_model,
            vocabulary_size=ids.token_offset + codes,
            hidden_size=64,
            intermediate_size=96,
            num_layers=4,
            num_heads=4,
            num_kv_heads=2,
            num_audio_layers=2,
            branch_layer=1,
            audio_token_offset=ids.token_offset,
            adaptor_input_size=4 * encoder_width,
            media_begin=ids.media_begin,
            media_end=ids.media_end,
            pad=ids.pad,
            max_positions=2048,
        ),
        base_tokens,
        {
            **RELEASED.encoder,
            "d_model": encoder_width,
            "encoder_layers": 4,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
        },
        tokenizer_layers=2,
        flow=FlowConfig(vocabulary_size=codes, hidden_size=48, depth=2, num_heads=4),
        vocoder=replace(
            RELEASED.vocoder,
            upsample_initial_channel=128,
            resblock_kernel_sizes=(3,),
            resblock_dilation_sizes=((1, 3, 5),),
        ),
    )


TINY = tiny()


def write_configuration(sizes: Sizes, folder: Path) -> Layout:
    """Writes all that describes such a checkpoint into a folder, and no weights.

    The text tokenizer gets as many ids as it should have, but they stand for arbitrary bytes.
    """
    root = folder
    acoustic, tokenizer = root / ACOUSTIC_FOLDER, root / SPEECH_TOKENIZER_FOLDER
    layout = Layout(root, acoustic, tokenizer, root / FLOW_FOLDER, root / VOCODER_FOLDER)
    for part in (layout.flow, layout.vocoder):
        part.mkdir(parents=True)
    _write_json(root / CONFIG, sizes.language_model.to_json())
    write_ranks(root / TEXT_TOKENIZER, _filler_ranks(sizes.base_tokens))
    _write_encoder(acoustic, sizes.acoustic_encoder())
    _write_encoder(tokenizer, sizes.speech_tokenizer())
    flow = yaml.safe_dump(sizes.flow.to_yaml(), sort_keys=False)
    (layout.flow / FLOW_CONFIG).write_text(flow, encoding="utf-8")
    _write_json(layout.vocoder / CONFIG, sizes.vocoder.to_json())
    return layout


def _filler_ranks(count: int) -> dict[bytes, int]:
    """All single bytes, then pairs, then sequences of three."""
    pieces = chain.from_iterable(product(range(256), repeat=length) for length in (1, 2, 3))
    return {bytes(piece): rank for rank, piece in enumerate(islice(pieces, count))}


def _write_encoder(folder: Path, config: WhisperConfig) -> None:
    config.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
