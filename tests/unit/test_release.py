"""The release in miniature, from its folder to an answer; and files of it that do not fit."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kimi_demo.audio import Audio
from kimi_demo.checkpoint import conversion, loading, locate
from kimi_demo.checkpoint.layout import Layout
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.engine.local import LocalEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.errors import CheckpointError
from kimi_demo.events import collect
from kimi_demo.messages import AudioPart, Message, TextPart
from kimi_demo.model.tensors import stored_in
from kimi_demo.model.vocabulary import published_special_tokens
from tests.release import MERGES, NAME, SHARDS, SPEECH_TOKENIZER

STEPS = 12  # audio answers are delayed by 6


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def release(released, tmp_path):
    """A release of one's own, to spoil."""
    shutil.copytree(released.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / released.name


def load(folder, cache):
    layout = conversion.with_safetensors(locate.find(str(folder)), cache, lambda line: None)
    return loading.load(layout, Placement.on("cpu"))


@pytest.fixture(scope="module")
def checkpoint(released, cache):
    return load(released, cache)


def test_the_layout_is_the_published_one(released):
    shards = {path.name for path in released.glob("*.safetensors")}
    assert shards == {
        *(f"model-{n}-of-{SHARDS - 1}.safetensors" for n in range(1, SHARDS)),
        f"model-{SHARDS}-of-{SHARDS}.safetensors",
    }
    with safe_open(released / "whisper-large-v3" / "model.safetensors", "pt") as file:
        assert file.metadata() is None
    layout = Layout.of(released)
    assert layout.speech_tokenizer == released.parent / SPEECH_TOKENIZER
    assert layout.unconverted == [layout.flow, layout.vocoder]


def test_what_is_not_used_is_not_loaded(released, checkpoint):
    config = checkpoint.language_model.config
    rotary = [name for name in stored_in(released) if name.endswith("rotary_emb.inv_freq")]
    assert len(rotary) == config.num_cached_layers
    learned = dict(checkpoint.language_model.named_parameters())
    assert loading.learned_tensors(released).keys() == learned.keys()
    whisper = stored_in(released / "whisper-large-v3")
    assert any(name.startswith("model.decoder.") for name in whisper)
    encoder = checkpoint.speech_tokenizer.encoder
    surplus = stored_in(released.parent / SPEECH_TOKENIZER).keys() - encoder.state_dict().keys()
    assert any(name.startswith(f"layers.{len(encoder.layers)}.") for name in surplus)


def test_stored_values_arrive(released, checkpoint):
    stored = stored_in(released)
    config, cpu = checkpoint.language_model.config, torch.device("cpu")
    model = loading.load_language_model(released, config, cpu, torch.float32)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, stored[name].read().float()), name
    pickle = torch.load(released / "audio_detokenizer" / "model.pt", weights_only=True)
    for name, tensor in checkpoint.detokenizer.flow.state_dict().items():
        published = pickle["state_dict"][f"speech_model.{name}"]
        assert tensor.shape == published.shape
        assert tensor.is_meta or torch.equal(tensor, published), name  # or laid out anew


def test_special_tokens_follow_the_text(checkpoint):
    """tokenizer_config.json lists none of them in order: they are the published ones."""
    first = 256 + len(MERGES)
    ids = checkpoint.text_tokenizer.special_ids
    assert ids == {name: first + n for n, name in enumerate(published_special_tokens())}
    assert checkpoint.vocabulary.pad == checkpoint.vocabulary.token_offset - 1


@pytest.mark.parametrize("output", ["text", "both"])
def test_it_answers(checkpoint, output):
    sound = np.sin(np.arange(16_000) / 20).astype(np.float32) * 0.3
    parts = (TextPart("What is this in there?"), AudioPart(Audio(sound, 16_000)))
    engine = LocalEngine(checkpoint)
    request = TurnRequest((Message("user", parts),), output=output, max_new_tokens=STEPS)
    answer = collect(engine.run_turn(request))
    engine.close()
    finished = answer.finished
    assert finished.reason in ("stop", "length")
    assert 0 < finished.text_tokens <= STEPS
    if output == "both":
        assert finished.audio_tokens > 0
        assert len(answer.waveform) == 1920 * finished.audio_tokens > 0


def rewrite(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def remove(name):
    return lambda tensors: tensors.pop(name)


def narrow(name):
    return lambda tensors: tensors.update({name: tensors[name][:-1].clone()})


def add(name):
    return lambda tensors: tensors.update({name: torch.zeros(2)})


NORM, CODEBOOK, CONV = "model.norm.weight", "codebook.weight", "model.encoder.conv1.weight"


def shard_of(folder, name):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    return index["weight_map"][name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove(NORM), [NAME, NORM, "missing"]),
        (narrow(NORM), [NAME, "SHARD", NORM, "[63] instead of [64]"]),
        (add("model.stranger"), [NAME, "SHARD", "model.stranger", "not part of this model"]),
    ],
)
def test_a_language_model_that_does_not_fit(change, words, release, cache):
    shard = shard_of(release, NORM)
    rewrite(release / shard, change)
    refuses(release, cache, [shard if word == "SHARD" else word for word in words])


@pytest.mark.parametrize(
    ("folder", "change", "words"),
    [
        (f"../{SPEECH_TOKENIZER}", remove(CODEBOOK), [SPEECH_TOKENIZER, CODEBOOK, "missing"]),
        (f"../{SPEECH_TOKENIZER}", narrow(CODEBOOK), [SPEECH_TOKENIZER, CODEBOOK, "[63, 32]"]),
        ("whisper-large-v3", remove(CONV), ["whisper-large-v3", "conv1.weight", "missing"]),
        ("whisper-large-v3", narrow(CONV), ["whisper-large-v3", "model.safetensors", CONV]),
        ("whisper-large-v3", add("model.encoder.x"), ["whisper-large-v3", "model.encoder.x"]),
    ],
)
def test_an_encoder_that_does_not_fit(folder, change, words, release, cache):
    rewrite(release / folder / "model.safetensors", change)
    refuses(release, cache, words)


@pytest.mark.parametrize(
    ("folder", "key", "name"),
    [
        ("audio_detokenizer", "state_dict", "speech_model.input_linear.weight"),
        ("vocoder", "generator", "conv_pre.bias"),
    ],
)
@pytest.mark.parametrize("spoil", [remove, narrow, add])
def test_a_detokenizer_that_does_not_fit(spoil, folder, key, name, release, cache):
    pickle = release / folder / "model.pt"
    content = torch.load(pickle, weights_only=True)
    spoilt = f"{name}.stranger" if spoil is add else name
    spoil(spoilt)(content[key])
    torch.save(content, pickle)
    refuses(release, cache, [folder, spoilt.removeprefix("speech_model.")])


@pytest.mark.parametrize(
    "file", ["model-7-of-35.safetensors", "model-36-of-36.safetensors", "whisper-large-v3/MODEL"]
)
def test_half_a_download(file, release, cache):
    path = release / file.replace("MODEL", "model.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    refuses(release, cache, [path.name, path.parent.name, "cut off", "fetch it again"])
    path.unlink()
    refuses(release, cache, [path.name, path.parent.name, "missing"])


@pytest.mark.parametrize(
    "file",
    [
        "tiktoken.model",
        "whisper-large-v3/config.json",
        "audio_detokenizer/config.yaml",
        "audio_detokenizer/model.pt",
        "vocoder/config.json",
        "vocoder/model.pt",
        f"../{SPEECH_TOKENIZER}/model.safetensors",
    ],
)
def test_a_missing_file(file, release, cache):
    path = (release / file).resolve()
    path.unlink()
    refuses(release, cache, [path.parent.name, path.name.split(".")[0], "missing"])


def test_no_checkpoint_at_all(release, cache):
    (release / "config.json").unlink()
    for name in (str(release), "unknown", str(release / "nowhere")):
        with pytest.raises(CheckpointError, match=r"^there is no checkpoint .*use nano"):
            locate.find(name)


def test_a_folder_has_no_revision(released):
    with pytest.raises(CheckpointError, match="leave the revision out"):
        locate.find(str(released), "main")


def test_a_base_checkpoint_is_pointed_out(release):
    said = []
    locate.find(str(release), report=said.append)
    assert said == []
    release.rename(release.with_name("Kimi-Audio-7B"))
    locate.find(str(release.with_name("Kimi-Audio-7B")), report=said.append)
    (line,) = said
    assert "base checkpoint, which cannot chat" in line


def refuses(folder, cache, words):
    """The start ends in one line with all of these words."""
    with pytest.raises(CheckpointError) as caught:
        load(folder, cache)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert all(word in line for word in words), line
