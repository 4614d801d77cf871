"""Memory plans at the released size, on the meta device; a small model, really spread and run."""

import argparse
import dataclasses
import json
import re
from collections import Counter
from itertools import cycle
from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import save_file

from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.loading import load_language_model
from kimi_demo.checkpoint.parts import EmptyParts
from kimi_demo.checkpoint.placement import (
    GIB,
    Placement,
    execution_device,
    layers_of,
    place_of,
    unsplit_modules,
)
from kimi_demo.checkpoint.planning import Precision, free_memory, plan
from kimi_demo.checkpoint.released import RELEASED, write_configuration
from kimi_demo.errors import CheckpointError
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.files import INDEX
from kimi_demo.model.language_model import Feed, LanguageModel, Places
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.settings import add_model_arguments, model_options

CPU = torch.device("cpu")
DOCUMENT = (Path(__file__).parents[2] / "docs/released-model.md").read_text(encoding="utf-8")
INT8, INT4 = Precision(quantization="int8"), Precision(quantization="int4")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return EmptyParts.of(write_configuration(RELEASED, tmp_path_factory.mktemp("c") / "released"))


def gib(*sizes, **more):
    """Memory of GPUs by number, and of others by name."""
    return {at: size * GIB for at, size in (dict(enumerate(sizes)) | more).items()}


def check(placement, memory):
    """No device above its limit, every tensor in one place, no layer split; rows add up."""
    used = Counter()
    for row in placement.rows:
        assert row.num_bytes > 0
        used[row.place] += row.num_bytes
    for place, size in memory.items():
        assert used.get(place, 0) <= size
    model = LanguageModel.empty(RELEASED.language_model, "meta")
    for name in model.state_dict():
        around = [m for m in placement.language_model if m == "" or name.startswith(f"{m}.")]
        assert len(around) == 1, name
    for layer in layers_of(model):
        assert not [m for m in placement.language_model if m.startswith(f"{layer}.")]
    rows = [row for row in placement.rows if row.group == "language model"]
    if placement.quantization is None:
        assert sum(row.num_bytes for row in rows) == 9_766_334_464 * placement.dtype.itemsize
    cache = [row.num_bytes for row in placement.rows if row.group.startswith("cache")]
    assert sum(cache) == 34 * 2 * 4 * 128 * 8192 * 2


@pytest.mark.parametrize(
    "sizes", [(16, 16), (24, 24), (48,), (80,), (12,) * 3, (20, 14), (10,) * 4]
)
def test_the_release_fits(released, sizes):
    placement = plan(released, gib(*sizes))
    check(placement, gib(*sizes))
    assert {row.place for row in placement.rows} == set(range(len(sizes)))
    for part in (placement.speech_tokenizer, placement.acoustic_encoder, placement.detokenizer):
        assert part == torch.device("cuda", 0)


def test_the_table_of_the_documents_is_the_planners(released):
    rows = re.findall(r"^\| ([\d ]+) \| (?:`(.+)`)? *\| (.+) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert len(rows) > 5
    for sizes, written, *places in rows:
        parser = argparse.ArgumentParser()
        add_model_arguments(parser, {})
        options = model_options(parser.parse_args(written.split()))
        precision = Precision(quantization=None if options.quantize == "none" else options.quantize)
        offload = None if options.offload == "none" else options.offload
        memory = gib(*map(int, sizes.split()), cpu=64)
        planned = plan(released, memory, precision, offload, options.slots)
        used = sorted(map(str, set(planned.language_model.values())))
        assert places == [" ".join(used), str(planned.detokenizer.index)], (sizes, written)


@pytest.mark.parametrize(("sizes", "gpu"), [((48,), 0), ((24, 24), 1), ((8, 48), 1), ((80, 4), 0)])
def test_one_gpu_with_room_holds_the_whole_language_model(released, sizes, gpu):
    assert dict(plan(released, gib(*sizes)).language_model) == {"": gpu}


def test_a_first_gpu_too_small_for_the_speech_parts(released):
    placement = plan(released, gib(4, 48))
    assert placement.detokenizer == torch.device("cuda", 1)
    check(placement, gib(4, 48))


def test_too_small_says_what_would_fit(released):
    memory = gib(24, cpu=64)
    with pytest.raises(CheckpointError) as caught:
        plan(released, memory)
    message = str(caught.value)
    assert "\n" not in message
    assert "needs 27.2 GiB, but there is GPU 0 with 24.0 GiB" in message
    for remedy in ("--quantize int8", "--quantize int4", "--offload cpu", "--max-memory"):
        assert remedy in message
    for precision in (INT8, INT4):  # what it says is true
        check(plan(released, memory, precision), memory)
    check(plan(released, gib(28)), gib(28))
    with pytest.raises(CheckpointError, match=r"GPU 0 with 8\.0 GiB") as caught:
        plan(released, gib(8, cpu=64))
    assert "quantize" not in str(caught.value)  # would not fit either


def test_offload(released):
    memory = gib(24, cpu=64)
    placement = plan(released, memory, offload="cpu")
    check(placement, memory)
    assert placement.speech_tokenizer == placement.acoustic_encoder == CPU
    assert placement.detokenizer == torch.device("cuda", 0)
    assert set(placement.language_model.values()) == {0, "cpu"}
    memory = gib(12, cpu=8)
    with pytest.raises(CheckpointError, match="--offload disk"):
        plan(released, memory, offload="cpu")
    placement = plan(released, memory, offload="disk")
    check(placement, memory)
    assert set(placement.language_model.values()) == {0, "cpu", "disk"}
    executing = {execution_device(placement.language_model, n) for n in placement.language_model}
    assert executing == {torch.device("cuda", 0)}
    whole = plan(released, gib(16, cpu=64), INT4, offload="cpu")  # the encoders make room
    assert (whole.acoustic_encoder, dict(whole.language_model)) == (CPU, {"": 0})


def test_what_fits_is_not_offloaded(released):
    memory = gib(80, cpu=64)
    assert plan(released, memory, offload="disk") == plan(released, memory)


def test_without_a_gpu(released):
    assert dict(plan(released, gib(cpu=32)).language_model) == {"": "cpu"}
    memory = gib(cpu=16)
    with pytest.raises(CheckpointError, match=r"cpu with 16\.0 GiB.*--offload disk"):
        plan(released, memory)
    placement = plan(released, memory, offload="disk")
    check(placement, memory)
    assert set(placement.language_model.values()) == {"cpu", "disk"}


def test_every_slot_has_a_cache(released):
    def cache(slots):
        rows = plan(released, gib(80), slots=slots).rows
        return sum(row.num_bytes for row in rows if row.group.startswith("cache"))

    assert cache(16) == 16 * cache(1)
    with pytest.raises(CheckpointError, match=r"needs 35\.2 GiB"):  # 27.2, and 15 caches
        plan(released, gib(32), slots=16)


def test_the_table(released):
    table = plan(released, gib(16, 16)).table().splitlines()
    assert len({len(line) for line in table}) == 1
    assert table[0].split() == ["what", "device", "GiB"]
    assert any(line.startswith("sum") and "GPU 1" in line for line in table)


FULL = Precision(torch.float32)


def test_a_plan_that_needs_the_disk_is_loaded_as_planned():
    layout = locate.find("nano")
    parts = EmptyParts.of(layout)
    whole = plan(parts, free_memory("cpu"), FULL)
    assert whole.language_model == Placement.on("cpu").language_model
    tight = {"cpu": sum(row.num_bytes for row in whole.rows) - 8_000_000}
    with pytest.raises(CheckpointError, match="--offload disk"):
        plan(parts, tight, FULL)
    parted = plan(parts, tight, FULL, offload="disk")
    fused, spread_out = (
        loading.load(layout, placement).language_model for placement in (whole, parted)
    )
    assert "disk" in parted.language_model.values()
    rows = cycle((fused.text_rows, fused.audio_rows))  # a model in one place scores these alone
    for logits, same, ids in zip(logits_of(spread_out), logits_of(fused), rows, strict=False):
        torch.testing.assert_close(logits[..., ids.start : ids.stop], same, atol=1e-4, rtol=1e-4)


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
            feed = Feed(1, position, 10 + position, 15 + position)
            found.append(model.decode([feed], cache))
    return [logits for step in found for logits in (step.text, step.audio)]


def spread(config, choose):
    """A map of all modules that are never split; choose: number of the module -> place."""
    modules = unsplit_modules(LanguageModel.empty(config, "meta"))
    return {module: choose(number) for number, module in enumerate(modules)}


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
    device_map = spread(small, lambda n: "cpu" if n < 6 else "meta")
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
