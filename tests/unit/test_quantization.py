"""Weight-only quantisation on the CPU: what is stored, how far answers move, what loading takes."""

import dataclasses
import sys
import weakref

import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import save_file

from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.loading import load_language_model
from kimi_demo.checkpoint.quantization import check_quantizable, quantize, scheme, stored_bytes
from kimi_demo.errors import CheckpointError
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.tensors import StoredTensor

CPU = torch.device("cpu")
FOLDER = locate.find("nano").root
# Of the embedded model over random ids: standard deviation of the error of logits over that of the
# logits, and share of positions with the same likeliest id, at worst of both streams. Measured with
# torchao 0.18: int8 0.025 and 0.94, int4 0.275 and 0.645.
BOUNDS = {"int8": (0.05, 0.9), "int4": (0.4, 0.5)}


@pytest.fixture(scope="module")
def config():
    return LanguageModelConfig.from_json(FOLDER / "config.json")


@pytest.fixture(scope="module")
def expected(config):
    return logits_of(load_language_model(FOLDER, config, CPU, torch.float32))


def logits_of(model, length=200):
    config, generator = model.config, torch.Generator().manual_seed(1)

    def ids(low, high):
        return torch.randint(low, high, (length,), generator=generator).tolist()

    text = ids(0, config.media_begin)
    audio = ids(config.audio_token_offset, config.vocabulary_size)
    prompt = PromptStreams(text, audio, [False] * length, [])
    return model.prefill(prompt, model.new_cache(1, length + 1), 0, all_positions=True)


def held_bytes(weight):
    """Of a plain tensor, or of the values and scales inside a quantised one."""
    inner = getattr(weight, "tensor_data_names", None)
    return sum(getattr(weight, name).nbytes for name in inner) if inner else weight.nbytes


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_logits_and_greedy_ids(config, expected, kind):
    model = load_language_model(FOLDER, config, CPU, torch.float32, kind)
    found = logits_of(model)
    most, least = BOUNDS[kind]
    for logits, exact in ((found.text, expected.text), (found.audio, expected.audio)):
        error = ((logits - exact).std() / exact.std()).item()
        assert 0.001 < error < most  # and something was quantised
        agreeing = (logits.argmax(-1) == exact.argmax(-1)).float().mean().item()
        assert agreeing >= least


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_what_is_quantised_and_how_large_it_is(config, kind):
    model = load_language_model(FOLDER, config, CPU, torch.float32, kind)
    plain = LanguageModel.empty(config, "meta").state_dict()
    kinds = {}
    for name, tensor in model.named_parameters():
        stored = scheme(config, kind, name.removesuffix(".weight"))
        kinds.setdefault(stored, []).append(name)
        counted = stored_bytes(plain[name], stored, torch.float32, on_gpu=False)
        assert held_bytes(tensor) == counted, name
        assert (held_bytes(tensor) == tensor.numel() * 4) == (not stored), name
    at_int8 = set(kinds["int8"])
    assert {"lm_head.weight", "mimo_output.weight"} <= at_int8
    depth = config.num_layers
    for last in (f"layers.{depth - 1}", f"layers.{depth - 2}", "mimo_layers.1"):
        assert f"model.{last}.mlp.up_proj.weight" in at_int8
    assert ("model.layers.0.mlp.up_proj.weight" in at_int8) == (kind == "int8")
    unchanged = {
        "model.embed_tokens.weight",
        "model.norm.weight",
        "model.vq_adaptor.layers.0.weight",
    }
    assert unchanged <= set(kinds[""])


def test_packed_size_counts_whole_tiles():
    weight = torch.empty(18_944, 3584, device="meta")  # as in the release; rows padded to 4096
    values = 18_944 * 4096
    assert stored_bytes(weight, "int4", torch.bfloat16) == values // 2 + values // 128 * 4
    odd = torch.empty(8, 40, device="meta")  # no group divides it: left as it is
    assert stored_bytes(odd, "int4", torch.bfloat16) == odd.numel() * 2


def test_rows_that_cannot_be_grouped_stay():
    layer = torch.nn.Linear(40, 8)
    before = layer.weight
    quantize(layer, "int4")
    assert layer.weight is before


def test_hooks_take_quantised_layers(config):
    """As when the model is spread over several GPUs."""
    model = load_language_model(FOLDER, config, CPU, torch.float32, "int8")
    alone = logits_of(model, 20)
    children = [name for name, _ in model.model.named_children() if name != "rotary"]
    names = [f"model.{name}" for name in children] + ["lm_head", "mimo_output"]
    dispatch_model(model, dict.fromkeys(names, "cpu"), "cpu", force_hooks=True)
    hooked = logits_of(model, 20)
    assert torch.equal(hooked.text, alone.text)
    assert torch.equal(hooked.audio, alone.audio)


def test_refusals(config, monkeypatch):
    device_map = {"model": "cpu", "lm_head": "disk", "mimo_output": "cpu"}
    with pytest.raises(CheckpointError, match="cannot be offloaded"):
        load_language_model(FOLDER, config, device_map, torch.float32, "int8")
    with pytest.raises(CheckpointError, match="bfloat16"):
        check_quantizable("int4", torch.device("cuda"), torch.float16)
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(CheckpointError, match="pip install torchao"):
        check_quantizable("int8", CPU, torch.float32)


class LiveBytes:
    """Bytes of the model that is being filled and of what was read for it, whenever a layer is
    about to be quantised."""

    def __init__(self, monkeypatch):
        self.seen, self._model, self._read = [], None, weakref.WeakSet()
        empty, read = LanguageModel.empty, StoredTensor.read

        def remembering_empty(*args):
            self._model = empty(*args)
            return self._model

        def remembering_read(stored, device):
            tensor = read(stored, device)
            self._read.add(tensor)
            return tensor

        def counting_quantize(module, kind):
            self.seen.append(self.now())
            quantize(module, kind)

        monkeypatch.setattr(LanguageModel, "empty", remembering_empty)
        monkeypatch.setattr(StoredTensor, "read", remembering_read)
        monkeypatch.setattr(loading, "quantize", counting_quantize)

    def now(self):
        filled = [p for p in self._model.parameters() if not p.is_meta]
        return sum(map(held_bytes, filled)) + sum(tensor.nbytes for tensor in self._read)


def test_loading_never_holds_the_model_unquantised(config, tmp_path, monkeypatch):
    large = dataclasses.replace(
        config,
        vocabulary_size=256,
        hidden_size=1024,
        intermediate_size=2816,
        num_layers=3,
        num_heads=8,
        num_kv_heads=2,
        num_audio_layers=1,
        branch_layer=1,
    )
    state = LanguageModel.empty(large, "meta").state_dict()
    tensors = {name: torch.zeros(t.shape, dtype=torch.bfloat16) for name, t in state.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    del tensors
    live = LiveBytes(monkeypatch)
    model = loading.load_language_model(tmp_path, large, CPU, torch.float32, "int8")
    whole = sum(tensor.numel() for tensor in state.values()) * 4
    quantised = sum(map(held_bytes, model.parameters()))
    linear = max(t.numel() for name, t in state.items() if "_proj.weight" in name) * 4
    assert whole > 150e6
    assert len(live.seen) == 4 * 7 + 2  # every layer's projections, and the heads
    assert linear < max(live.seen) <= quantised + 2 * linear < 0.5 * whole
