"""Every part of a checkpoint in shards: the same model, and one line for what does not fit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kimi_demo.checkpoint import conversion, loading, locate
from kimi_demo.checkpoint.inspection import stored_tensors
from kimi_demo.checkpoint.layout import SPEECH_TOKENIZER_FOLDER, Layout
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.checkpoint.writing import write
from kimi_demo.errors import CheckpointError
from kimi_demo.model.files import FILE, INDEX, files_in
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.tensors import stored_in
from tests.release import SPEECH_TOKENIZER

PARTS = ("", "whisper-large-v3", "speech_tokenizer", "audio_detokenizer", "vocoder")
TENSORS = {
    "": "model.norm.weight",
    "whisper-large-v3": "model.encoder.conv1.weight",
    "speech_tokenizer": "codebook.weight",
    "audio_detokenizer": "speech_model.input_linear.weight",
    "vocoder": "conv_pre.bias",
}


@pytest.fixture(scope="module")
def whole(released, tmp_path_factory):
    """A checkpoint in one folder, with one file of weights for each part but the language model."""
    root = tmp_path_factory.mktemp("whole") / "whole"
    shutil.copytree(released, root)
    shutil.copytree(released.parent / SPEECH_TOKENIZER, root / SPEECH_TOKENIZER_FOLDER)
    conversion.convert(Layout.of(root), root, lambda line: None, root.parent / "locks")
    for pickle in root.rglob("*.pt"):
        pickle.unlink()
    return root


@pytest.fixture(scope="module")
def parted(whole, tmp_path_factory):
    """The same with at least four files for each part."""
    root = tmp_path_factory.mktemp("parted") / "parted"
    shutil.copytree(whole, root)
    for part in PARTS:
        tensors = {name: tensor.read() for name, tensor in stored_in(root / part).items()}
        size = sum(tensor.nbytes for tensor in tensors.values())
        write(tensors, root / part, size // 4)
        assert len(files_in(root / part)) >= 4
    return root


@pytest.fixture
def spoilt(parted, tmp_path):
    """A checkpoint in shards of one's own, to spoil."""
    shutil.copytree(parted, tmp_path / "spoilt")
    return tmp_path / "spoilt"


def load(root):
    return loading.load(locate.find(str(root)), Placement.on("cpu"))


def outputs_of(checkpoint):
    """What every part makes of the same input."""
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    model = checkpoint.language_model
    prompt = PromptStreams([1, 2, 3], [7, 8, 9], [False] * 3)
    logits = model.prefill(prompt, model.new_cache(1, 8), 0)
    return [
        torch.tensor(checkpoint.speech_tokenizer.encode(noise)),
        checkpoint.acoustic_encoder.encode(noise),
        logits.text,
        logits.audio,
        torch.from_numpy(checkpoint.detokenizer.detokenize([1, 2, 3])),
    ]


def shard_of(folder: Path, name: str) -> Path:
    return folder / json.loads((folder / INDEX).read_text())["weight_map"][name]


def change(file, edit):
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)


def refuses(root, *words):
    """Loading and looking both end in one line with all of these words."""
    for look in (load, lambda root: [*stored_tensors(locate.find(str(root)))]):
        with pytest.raises(CheckpointError) as caught:
            look(root)
        line = str(caught.value)
        assert len(line.splitlines()) == 1
        assert all(word in line for word in words), line


def test_shards_hold_the_same_model(whole, parted):
    one, several = outputs_of(load(whole)), outputs_of(load(parted))
    for a, b in zip(one, several, strict=True):
        torch.testing.assert_close(a, b)
    assert [*stored_tensors(locate.find(str(whole)))] == [*stored_tensors(locate.find(str(parted)))]


@pytest.mark.parametrize("part", PARTS)
class TestSpoilt:
    def test_a_missing_tensor(self, part, spoilt):
        folder, name = spoilt / part, TENSORS[part]
        change(shard_of(folder, name), lambda tensors: tensors.pop(name))
        refuses(spoilt, folder.name, name.removeprefix("model.encoder.")[-12:], "missing")

    def test_a_misshapen_tensor(self, part, spoilt):
        folder, name = spoilt / part, TENSORS[part]
        shard = shard_of(folder, name)
        change(shard, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
        refuses(spoilt, f"{folder.name}/{shard.name}", name, "has the shape")

    def test_a_tensor_that_is_there_twice(self, part, spoilt):
        folder, name = spoilt / part, TENSORS[part]
        first = shard_of(folder, name)
        other = next(file for file in files_in(folder) if file != first)
        change(other, lambda tensors: tensors.update({name: torch.zeros(2)}))
        refuses(spoilt, folder.name, first.name, other.name, name)

    def test_a_shard_that_is_cut_off(self, part, spoilt):
        shard = files_in(spoilt / part)[-1]
        shard.write_bytes(shard.read_bytes()[:-100])
        refuses(spoilt, f"{shard.parent.name}/{shard.name}", "cut off", "fetch it again")

    def test_a_shard_that_is_missing(self, part, spoilt):
        shard = files_in(spoilt / part)[1]
        shard.unlink()
        refuses(spoilt, f"{shard.parent.name}/{shard.name}", "missing")

    def test_a_broken_index(self, part, spoilt):
        index = spoilt / part / INDEX
        index.write_text(index.read_text()[:-20])
        refuses(spoilt, f"{index.parent.name}/{INDEX}", "broken", "fetch it again")


@pytest.mark.parametrize("part", [part for part in PARTS if part != "speech_tokenizer"])
def test_a_tensor_that_nobody_knows(part, spoilt):
    """The speech tokenizer's released file holds layers that nobody uses; the others may not."""
    folder, name = spoilt / part, f"{TENSORS[part]}.stranger"
    shard = files_in(folder)[0]
    change(shard, lambda tensors: tensors.update({name: torch.zeros(2)}))
    refuses(spoilt, f"{folder.name}/{shard.name}", name, "not part of this model")


def test_writing_replaces_what_was_there(tmp_path):
    tensors = {name: torch.randn(100) for name in "abcd"}
    write(tensors, tmp_path / "new" / "part", 800)
    files = files_in(tmp_path / "new" / "part")
    assert len(files) == 2
    assert all(file.stat().st_size < 1000 for file in files)
    write({"a": torch.randn(2, 3).T}, tmp_path / "new" / "part", 800)
    assert [path.name for path in (tmp_path / "new" / "part").iterdir()] == [FILE]
