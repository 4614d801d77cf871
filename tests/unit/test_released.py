"""The released sizes: as many tensors and values as were published, told without any memory."""

from math import prod

import pytest

from kimi_demo.checkpoint.loading import (
    acoustic_encoder_tensors,
    learned_tensors,
    speech_tokenizer_tensors,
)
from kimi_demo.checkpoint.parts import EmptyParts, num_values
from kimi_demo.checkpoint.random_weights import random_tensors
from kimi_demo.checkpoint.released import RELEASED, write_configuration
from kimi_demo.model.detokenizer.loading import flow_tensors
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return write_configuration(RELEASED, tmp_path_factory.mktemp("released") / "random")


@pytest.fixture(scope="module")
def tensors(layout):
    return random_tensors(layout)


def values_in(stored):
    return sum(prod(tensor.shape) for tensor in stored.values())


def test_language_model(layout, tensors):
    config = RELEASED.language_model
    stored = learned_tensors(layout.root, tensors)
    assert len(stored) == 419
    assert values_in(stored) == 9_766_334_464
    tables = config.num_cached_layers  # of the release's files; a formula gives them
    in_table = config.head_size // 2
    assert (tables, in_table) == (34, 64)
    assert len(stored) + tables == 453
    published = values_in(stored) + tables * in_table
    assert published == 9_766_336_640
    assert all(tensor.dtype.itemsize == 2 for tensor in stored.values())
    assert published * 2 == 19_532_673_280


def test_flow_matching(layout, tensors):
    stored = flow_tensors(layout.flow, tensors)
    assert len(stored) == 171
    assert values_in(stored) == 1_584_023_120
    assert {
        "t_embedder.mlp.0.weight",
        "t_embedder.mlp.2.bias",
        "semantic_token_embedding.weight",
        "input_linear.weight",
        "blocks.15.attn.qkv.bias",
        "blocks.15.attn.proj.weight",
        "blocks.15.mlp.fc1.weight",
        "blocks.15.mlp.fc2.weight",
        "blocks.15.adaLN_modulation.1.weight",
        "final_layer.linear.weight",
        "final_layer.adaLN_modulation.1.bias",
    } <= stored.keys()


def test_vocoder(layout, tensors):
    stored = tensors(layout.vocoder, "")
    assert len(stored) == 868
    assert values_in(stored) == 241_114_721
    config = VocoderConfig.from_json(layout.vocoder / "config.json")
    assert config == RELEASED.vocoder
    published = Vocoder(_narrow(config), weight_norm=True).published_tensors()
    assert len([name for name in published if name.endswith("filter")]) == 338
    assert {name for name in published if not name.endswith("filter")} == stored.keys()


def _narrow(config):
    """The same modules, hardly any values: their filters are computed, not empty."""
    return VocoderConfig.from_json({**config.to_json(), "upsample_initial_channel": 128})


def test_encoders(layout, tensors):
    acoustic = acoustic_encoder_tensors(layout.acoustic_encoder, tensors)
    assert values_in(acoustic) == pytest.approx(0.64e9, rel=0.01)
    encoder = SpeechTokenizer.build(layout.speech_tokenizer).encoder
    tokenizer = speech_tokenizer_tensors(layout.speech_tokenizer, encoder, tensors)
    unread = 375 * 1280  # positions behind the pooling, which the release's file holds besides
    assert values_in(tokenizer) + unread == pytest.approx(343.6e6, abs=5e4)
    assert values_in(tokenizer) == num_values(EmptyParts.of(layout).speech_tokenizer)


def test_text_ids(layout):
    tokenizer = TextTokenizer.load(layout.root)
    assert tokenizer.base_tokens == 151_643
    config, ids = RELEASED.language_model, Vocabulary.published(tokenizer.base_tokens)
    assert (ids.token_offset, ids.pad) == (config.audio_token_offset, config.pad)
    assert (ids.media_begin, ids.media_end) == (config.media_begin, config.media_end)
    assert tokenizer.decode(tokenizer.encode("Kimi 听得懂")) == "Kimi 听得懂"
