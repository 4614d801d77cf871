"""Memory plans at the released size, on the meta device; a small model, really spread and run."""

import dataclasses
import json
from collections import Counter

import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import save_file
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from kimi_demo.checkpoint import loading, source
from kimi_demo.checkpoint.arranging import crossings
from kimi_demo.checkpoint.loading import load_language_model
from kimi_demo.checkpoint.placement import GIB, Placement, execution_device, place_of
from kimi_demo.checkpoint.planning import free_memory, plan
from kimi_demo.checkpoint.released import RELEASED
from kimi_demo.checkpoint.sizing import Parts
from kimi_demo.errors import CheckpointError
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.language_model import LanguageModel, Places
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.tensors import INDEX

CPU = torch.device("cpu")


def values_of(module):
    return sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))


@pytest.fixture(scope="module")
def released():
    """What the release holds. The speech tokenizer is half of an encoder and a codebook."""
    whisper = {"d_model": 1280, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120}
    with torch.device("meta"):
        encoder = WhisperEncoder(WhisperConfig(num_mel_bins=128, encoder_layers=32, **whisper))
        half = WhisperEncoder(WhisperConfig(num_mel_bins=128, encoder_layers=16, **whisper))
        flow, vocoder = FlowTransformer(RELEASED.flow), Vocoder(RELEASED.vocoder)
    return Parts(
        RELEASED.language_model,
        values_of(half) + 16_384 * 1280,
        values_of(encoder),
        values_of(flow) + values_of(vocoder),
    )


def cards(*sizes, **more):
    return {index: f"{size}GiB" for index, size in enumerate(sizes)} | more


def layers_of(placement, config):
    """Cached layer -> place, in the order of the cache."""
    names = [f"model.layers.{i}" for i in range(config.num_layers)]
    names += [f"model.mimo_layers.{i}" for i in range(config.num_audio_layers)]
    return {name: place_of(placement.language_model, name) for name in names}


def check(placement, config, memory):
    """No device above its limit, every tensor in one place, no layer split; rows add up."""
    used = Counter()
    for row in placement.rows:
        assert row.num_bytes > 0
        used[row.place] += row.num_bytes
    for place, size in memory.items():
        assert used.get(place, 0) <= int(size.removesuffix("GiB")) * GIB
    tensors = LanguageModel.empty(config, "meta").state_dict()
    for name in tensors:
        around = [m for m in placement.language_model if m == "" or name.startswith(f"{m}.")]
        assert len(around) == 1, name
    for module in placement.language_model:
        parts = module.split(".")
        assert len(parts) <= (3 if "layers" in module else 2), module
    if placement.quantization is None:
        weights = [row for row in placement.rows if row.group.startswith(LANGUAGE_MODEL_GROUPS)]
        learned = sum(tensor.numel() for tensor in tensors.values())
        assert learned == 9_766_334_464
        assert sum(row.num_bytes for row in weights) == learned * placement.dtype.itemsize


LANGUAGE_MODEL_GROUPS = ("embedding", "trunk", "text", "audio")


@pytest.mark.parametrize("sizes", [(16, 16), (24, 24), (24,) * 4, (48,), (80,), (12,) * 3])
def test_the_release_fits(released, sizes):
    memory = cards(*sizes)
    placement = plan(released, max_memory=memory)
    check(placement, released.language_model, memory)
    cache = [row.num_bytes for row in placement.rows if row.group.startswith("cache")]
    assert sum(cache) == 34 * 2 * 4 * 128 * 8192 * 2


def test_one_gpu_is_not_split(released):
    for sizes in ((48,), (80,), (24, 24), (24,) * 4):
        placement = plan(released, max_memory=cards(*sizes))
        assert dict(placement.language_model) == {"": "cuda:0"}
        last = torch.device("cuda", len(sizes) - 1)
        parts = (placement.speech_tokenizer, placement.acoustic_encoder, placement.detokenizer)
        assert parts == (last,) * 3


def test_the_small_gpu_of_two_takes_the_speech_parts(released):
    placement = plan(released, max_memory=cards(8, 48))
    assert dict(placement.language_model) == {"": "cuda:1"}
    assert placement.detokenizer == torch.device("cuda", 0)


@pytest.mark.parametrize("sizes", [(16, 16), (12, 12, 12), (20, 14), (10, 10, 10, 10)])
def test_fewest_moves_of_all_cuts(released, sizes):
    """No way to cut the two orders into as many pieces moves the hidden states less often."""
    config = released.language_model
    placement = plan(released, max_memory=cards(*sizes))
    blocks = {name: place for name, place in placement.language_model.items() if name != ""}
    pieces = len(set(blocks.values()))
    assert pieces > 1
    assert crossings(blocks, config) == pieces - 1  # a chain cannot be cut with fewer


def test_crossings_are_counted_on_both_branches(released):
    config = released.language_model
    whole = dict.fromkeys(plan(released, max_memory=cards(16, 16)).language_model, 0)
    assert crossings(whole, config) == 0
    assert crossings(whole | {"lm_head": 1}, config) == 1
    assert crossings(whole | {"lm_head": 1, "mimo_output": 1}, config) == 2
    assert crossings(whole | {"model.layers.21": 1}, config) == 3  # in, and out to both branches
    assert crossings(whole | {"model.layers.3": "cpu"}, config) == 0  # computes on GPU 0


def test_too_small_says_what_would_fit(released):
    with pytest.raises(CheckpointError) as caught:
        plan(released, max_memory=cards(24, cpu="64GiB"))
    message = str(caught.value)
    assert "\n" not in message
    for remedy in ("--quantize int8 or int4", "--offload cpu", "one GPU of 32 GiB", "two GPUs of"):
        assert remedy in message
    plan(released, max_memory=cards(32))  # what it says is true
    for quantization in ("int8", "int4"):
        memory = cards(24)
        placement = plan(released, max_memory=memory, quantization=quantization)
        check(placement, released.language_model, memory)
    with pytest.raises(CheckpointError, match=r"GPU 0 with 8\.0 GiB") as caught:
        plan(released, max_memory=cards(8, cpu="64GiB"))
    assert "quantize" not in str(caught.value)  # would not fit either
    with pytest.raises(CheckpointError, match="no size"):
        plan(released, max_memory={0: "many"})
    with pytest.raises(CheckpointError, match="no memory 'disk'"):
        plan(released, max_memory={0: "24GiB", "disk": "1GiB"})


def test_offload(released):
    memory = cards(24, cpu="64GiB")
    placement = plan(released, max_memory=memory, offload="cpu")
    check(placement, released.language_model, memory)
    assert placement.speech_tokenizer == placement.acoustic_encoder == CPU
    assert placement.detokenizer == torch.device("cuda", 0)
    places = set(placement.language_model.values())
    assert places == {0, "cpu"}
    memory = cards(12, cpu="8GiB")
    with pytest.raises(CheckpointError, match="--offload disk"):
        plan(released, max_memory=memory, offload="cpu")
    placement = plan(released, max_memory=memory, offload="disk")
    check(placement, released.language_model, memory)
    assert set(placement.language_model.values()) == {0, "cpu", "disk"}
    executing = {execution_device(placement.language_model, n) for n in placement.language_model}
    assert executing == {torch.device("cuda", 0)}


def test_without_a_gpu(released):
    assert dict(plan(released, max_memory={"cpu": "32GiB"}).language_model) == {"": "cpu"}
    with pytest.raises(CheckpointError, match=r"cpu with 16\.0 GiB.*--offload disk"):
        plan(released, max_memory={"cpu": "16GiB"})
    memory = {"cpu": "16GiB"}
    placement = plan(released, max_memory=memory, offload="disk")
    check(placement, released.language_model, memory)
    assert set(placement.language_model.values()) == {"cpu", "disk"}


def test_the_table(released):
    table = plan(released, max_memory=cards(16, 16)).table().splitlines()
    assert len({len(line) for line in table}) == 1
    assert table[0].split() == ["module", "group", "device", "GiB"]
    assert any(line.startswith("sum") and "GPU 1" in line for line in table)


def test_the_embedded_checkpoint_on_this_machine():
    parts = Parts.of(source.find("nano"))
    placement = plan(parts, max_memory=free_memory("cpu"), dtype=torch.float32)
    assert placement.language_model == Placement.on("cpu").language_model
    assert placement.main_device == CPU


def test_a_plan_that_needs_the_disk_is_loaded_as_planned():
    layout = source.find("nano")
    whole = plan(Parts.of(layout), max_memory=free_memory("cpu"), dtype=torch.float32)
    total = sum(row.num_bytes for row in whole.rows)
    tight = {"cpu": total - 8_000_000}
    with pytest.raises(CheckpointError, match="--offload disk"):
        plan(Parts.of(layout), max_memory=tight, dtype=torch.float32)
    parted = plan(Parts.of(layout), max_memory=tight, dtype=torch.float32, offload="disk")
    expected, found = (
        logits_of(loading.load(layout, placement).language_model) for placement in (whole, parted)
    )
    assert "disk" in parted.language_model.values()
    for logits, same in zip(found, expected, strict=True):
        assert torch.equal(logits, same)


# A small model, filled and run.


@pytest.fixture(scope="module")
def small():
    return LanguageModelConfig(
        vocabulary_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_layers=4,
        num_heads=4,
        num_kv_heads=2,
        num_audio_layers=2,
        branch_layer=1,
        audio_token_offset=64,
        adaptor_input_size=16,
        media_begin=60,
        media_end=61,
        pad=63,
        max_positions=64,
    )


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    """Random weights in three shards and an index, in bfloat16 as released."""
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("checkpoint")
    state = LanguageModel(small).bfloat16().state_dict()
    files = {name: f"model-{i % 3 + 1}-of-3.safetensors" for i, name in enumerate(state)}
    for file in set(files.values()):
        save_file({n: t for n, t in state.items() if files[n] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"weight_map": files}))
    return folder


def logits_of(model):
    """Of a prompt with sound in it, and of three steps in the second of two slots."""
    config, heard = model.config, [False, False, True, True, False]
    audio = [7, config.media_begin, config.pad + 1, config.pad + 2, config.media_end]
    torch.manual_seed(6)
    features = torch.randn(2, config.adaptor_input_size)
    prompt = PromptStreams([1, 2, 3, 4, 5], audio, heard, [features])
    cache = model.new_cache(slots=2)
    with torch.inference_mode():
        found = [model.prefill(prompt, cache, slot=1, all_positions=True)]
        for position in (5, 6, 7):
            ids = torch.full((2,), 10 + position, device=model.device)
            positions = torch.full((2,), position, device=model.device)
            found.append(model.decode(ids, ids + 5, positions, cache, position + 1))
    return [logits for step in found for logits in (step.text, step.audio)]


def spread(config, choose):
    """A map of all modules that are never split; choose: number of the module -> place."""
    depths = {"layers": 3, "mimo_layers": 3, "lm_head": 1, "mimo_output": 1}
    names = [name.split(".") for name in LanguageModel.empty(config, "meta").state_dict()]
    modules = [".".join(n[: depths.get(n[1], depths.get(n[0], 2))]) for n in names]
    return {module: choose(number) for number, module in enumerate(dict.fromkeys(modules))}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("period", "offset"), [(2, 0), (2, 1), (3, 0), (3, 1)])
def test_cpu_and_disk_give_the_same_logits(small, folder, dtype, period, offset):
    device_map = spread(small, lambda n: "disk" if n % period == offset else "cpu")
    model = load_language_model(folder, small, device_map, dtype)
    there = {name: tensor.is_meta for name, tensor in model.named_parameters()}
    assert there == {name: place_of(device_map, name) == "disk" for name in there}
    assert sum(there.values()) > 5
    whole = load_language_model(folder, small, CPU, dtype)
    for logits, same in zip(logits_of(model), logits_of(whole), strict=True):
        assert logits.dtype == dtype
        assert torch.equal(logits, same)


def test_everything_on_disk(small, folder):
    expected = logits_of(load_language_model(folder, small, CPU, torch.float32))
    model = load_language_model(folder, small, {"": "disk"}, torch.float32)
    assert all(tensor.is_meta for tensor in model.parameters())
    for logits, same in zip(logits_of(model), expected, strict=True):
        assert torch.equal(logits, same)


def test_caches_masks_and_tables_follow_the_layers(small):
    """The meta device stands for a second one: it refuses tensors of the first."""
    model = LanguageModel(small).eval().requires_grad_(False)
    device_map = spread(small, lambda n: "cpu" if n < 4 else "meta")
    dispatch_model(model, device_map, "cpu")
    layers = ("layers.0", "layers.1", "layers.2", "layers.3", "mimo_layers.0", "mimo_layers.1")
    devices = tuple(torch.device(device_map[f"model.{layer}"]) for layer in layers)
    assert len(set(devices)) == 2
    model.model.places = Places(CPU, devices)
    assert tuple(keys.device for keys in model.new_cache(1).keys) == devices
    assert model.device == CPU
    for logits in logits_of(model):
        assert logits.device.type == "meta"
        assert logits.shape[-1] == small.vocabulary_size


def test_a_misfit_stops_before_anything_is_read(small, folder, tmp_path):
    device_map = spread(small, lambda n: "disk" if n % 2 else "cpu")
    wrong = dataclasses.replace(small, intermediate_size=40)
    with pytest.raises(CheckpointError, match=r"of-3\.safetensors: the tensor .* has the shape"):
        load_language_model(folder, wrong, device_map, torch.float32)
    with pytest.raises(CheckpointError, match="cannot be offloaded"):
        load_language_model(folder, small, device_map, torch.float32, "int8")
