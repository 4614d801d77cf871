"""A checkpoint in the layout of the release: names as published, values as before."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open

from kimi_demo.__main__ import main
from kimi_demo.checkpoint import conversion, loading, locate
from kimi_demo.checkpoint.layout import Layout
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.tensors import stored_in

GOLDEN = Path(__file__).parents[1] / "parity" / "data"  # names as the reference's modules have them
ROTARY = {f"model.{stack}.N.self_attn.rotary_emb.inv_freq" for stack in ("layers", "mimo_layers")}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "nano"
    assert main(["convert", "--as-published", "nano", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def both(published, tmp_path_factory):
    """nano as it is, and after the round trip."""
    nano = locate.find("nano")
    cache = tmp_path_factory.mktemp("cache")
    again = conversion.with_safetensors(Layout.of(published), cache, lambda line: None)
    return [loading.load(layout, Placement.on("cpu")) for layout in (nano, again)]


def numbered(names):
    """Each once, whatever its layer or stage."""
    return {re.sub(r"\.\d+\.", ".N.", re.sub(r"\.\d+\.", ".N.", name)) for name in names}


def golden(folder):
    with safe_open(GOLDEN / folder / "model.safetensors", "pt") as tensors:
        return numbered(tensors.keys())


def pickled(path, key):
    return torch.load(path, weights_only=True)[key]


def test_names_are_the_published_ones(published):
    assert numbered(stored_in(published)) == golden("llm") | ROTARY
    assert numbered(stored_in(published / "whisper-large-v3")) == golden("whisper-large-v3")
    assert numbered(stored_in(published / "speech_tokenizer")) == golden("semantic_tokenizer")
    flow = pickled(published / "audio_detokenizer" / "model.pt", "state_dict")
    assert numbered(flow) == golden("audio_detokenizer")
    vocoder = pickled(published / "vocoder" / "model.pt", "generator")
    assert numbered(f"generator.{name}" for name in vocoder) == golden("vocoder")
    assert {tensor.dtype for tensor in vocoder.values()} == {torch.float32}


def test_the_language_model_lies_in_shards_with_an_index(published):
    index = json.loads((published / "model.safetensors.index.json").read_text())
    files = {path.name for path in published.glob("*.safetensors")}
    assert set(index["weight_map"].values()) == files
    assert len(files) > 10
    assert not list(published.glob("*/*.index.json"))


def test_configurations_have_the_published_keys(published):
    config = json.loads((published / "config.json").read_text())
    assert config.keys() >= json.loads((GOLDEN / "llm" / "config.json").read_text()).keys()
    assert config["use_whisper_feature"] is True
    flow = yaml.safe_load((published / "audio_detokenizer" / "config.yaml").read_text())
    assert flow["model"]["dit"]["ffn_gated_glu"] is False  # the reference takes it for true
    nano = json.loads((locate.EMBEDDED_FOLDER / "config.json").read_text())
    assert config == config | nano


def test_nothing_of_the_model_changes(both):
    before, after = both
    assert (after.about, after.tasks) == (before.about, before.tasks)
    assert after.detokenizer.config == before.detokenizer.config
    for part in ("language_model", "detokenizer.flow", "detokenizer.vocoder"):
        require_equal(*(attribute(checkpoint, part).state_dict() for checkpoint in both))
    for part in ("speech_tokenizer.encoder", "acoustic_encoder.encoder"):
        require_equal(*(attribute(checkpoint, part).state_dict() for checkpoint in both))


def test_outputs_are_equal(both):
    sound = np.sin(np.arange(24_000) / 30).astype(np.float32) * 0.3
    first, second = ([*outputs(checkpoint, sound)] for checkpoint in both)
    for output, same in zip(first, second, strict=True):
        assert torch.equal(output, same)


def outputs(checkpoint, sound):
    yield torch.tensor(checkpoint.speech_tokenizer.encode(sound))
    yield checkpoint.acoustic_encoder.encode(sound)
    model = checkpoint.language_model
    prompt = PromptStreams([1, 2, 3], [4, 5, 6], [False] * 3, [])
    yield model.prefill(prompt, model.new_cache(1), 0).text
    mel = torch.randn(1, 80, 10, generator=torch.Generator().manual_seed(1))
    yield checkpoint.detokenizer.vocoder(mel)


def attribute(thing, path):
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def require_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.shape == theirs[name].shape
        assert tensor.is_meta or torch.equal(tensor, theirs[name])  # or laid out anew


def test_a_folder_in_use_is_left_alone(published, capsys):
    before = sorted(published.iterdir())
    assert main(["convert", "--as-published", "nano", str(published)]) == 2
    assert "is not empty: choose another folder" in capsys.readouterr().err
    assert sorted(published.iterdir()) == before


def test_a_release_is_published_again_as_it_was(released, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "default_cache", lambda: tmp_path / "cache")
    assert main(["convert", "--as-published", str(released), str(tmp_path / "again")]) == 0
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config == config | json.loads((released / "config.json").read_text())
    vocoder = "vocoder/model.pt"
    pairs = [pickled(folder / vocoder, "generator") for folder in (tmp_path / "again", released)]
    require_equal(*pairs)
    stored = [stored_in(folder) for folder in (tmp_path / "again", released)]
    assert stored[0].keys() == stored[1].keys()
