"""From options to an engine: the plan, maps by hand, and choices that this machine cannot serve."""

import gc
import json
import logging
import subprocess
import sys
import weakref
from weakref import WeakValueDictionary

import pytest
import torch

from kimi_demo.checkpoint import conversion, loading
from kimi_demo.engine import factory
from kimi_demo.engine.factory import create_engine
from kimi_demo.errors import CheckpointError
from kimi_demo.events import collect
from kimi_demo.intents import Speak
from kimi_demo.options import ModelOptions

ALL_ON_CPU = {"": "cpu"}
LAST_LAYER_ON_DISK = {"": "cpu", "model.layers.5": "disk"}


@pytest.fixture(autouse=True)
def _nothing_open(monkeypatch):
    """Engines of other tests may hold the same checkpoint."""
    monkeypatch.setattr(factory, "_open", WeakValueDictionary())


@pytest.fixture
def options(tmp_path):
    """Options for nano on the CPU, with a device map in a file."""

    def made(device_map, **others):
        path = tmp_path / "map.json"
        text = device_map if isinstance(device_map, str) else json.dumps(device_map)
        path.write_text(text, encoding="utf-8")
        return ModelOptions(device="cpu", device_map=str(path), **others)

    return made


def spoken(engine):
    answer = collect(engine.stream(Speak("hello.")))
    engine.close()
    return answer.waveform


def test_the_plan_comes_before_the_model(caplog, monkeypatch):
    def load(layout, placement):
        assert "flow and vocoder" in caplog.text
        raise CheckpointError("enough")

    monkeypatch.setattr(loading, "load", load)
    with caplog.at_level(logging.INFO), pytest.raises(CheckpointError, match="enough"):
        create_engine(ModelOptions(device="cpu"))


def test_the_last_engine_to_close_frees_the_model(monkeypatch):
    loaded = []

    def load(*args):
        checkpoint = loading_load(*args)
        loaded.append(weakref.ref(checkpoint.language_model))
        return checkpoint

    loading_load = loading.load
    monkeypatch.setattr(loading, "load", load)
    options = ModelOptions(device="cpu")
    engines = [create_engine(options) for _ in range(2)]
    assert len(loaded) == 1  # for both
    engines[0].close()
    gc.collect()
    assert loaded[0]() is not None
    assert len(spoken(engines[1])) > 0  # still open, then closed
    gc.collect()
    assert loaded[0]() is None
    create_engine(options).close()
    assert len(loaded) == 2


def test_a_map_by_hand_changes_places_and_no_sound(options):
    planned = spoken(create_engine(ModelOptions(device="cpu")))
    by_hand = spoken(create_engine(options(LAST_LAYER_ON_DISK)))
    assert torch.equal(torch.from_numpy(planned), torch.from_numpy(by_hand))


@pytest.mark.parametrize(
    ("device_map", "reason"),
    [
        ("no json", "cannot be read"),
        ([1, 2], "cannot be read"),
        ({"": "gpu"}, "no device 'gpu'"),
        ({"": None}, "no device None"),
        ({"model.layers": "cpu"}, "leaves out model.embed_tokens"),
    ],
)
def test_a_map_that_cannot_be_used(options, device_map, reason):
    with pytest.raises(CheckpointError, match=reason) as refused:
        create_engine(options(device_map))
    assert len(str(refused.value).splitlines()) == 1


def test_a_gpu_that_is_not_there():
    with pytest.raises(CheckpointError, match="no GPU 7 here"):
        create_engine(ModelOptions(device="cpu", max_memory="7=22GiB"))


def test_the_release_starts_and_is_converted_once(released, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "default_cache", lambda: tmp_path)
    engine = create_engine(ModelOptions(str(released), device="cpu"))
    assert engine.capabilities.model == "Kimi-Audio"
    engine.close()
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 2


def test_a_large_model_says_how_far_it_is(caplog, monkeypatch):
    monkeypatch.setattr(loading, "SLOW_VALUES", 1)
    with caplog.at_level(logging.INFO):
        create_engine(ModelOptions(device="cpu")).close()
    told = [record.message for record in caplog.records if "loaded" in record.message]
    assert told[-1] == "language model: 100 % loaded"
    assert 3 <= len(told) <= 10


def test_memory_that_is_gone_after_all(monkeypatch):
    def load(layout, placement):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loading, "load", load)
    with pytest.raises(CheckpointError, match="too little memory for nano"):
        create_engine(ModelOptions(device="cpu"))


def test_loading_imports_no_compiler_and_no_modeling_code():
    """They would take 240 MB and three seconds."""
    code = (
        "import sys; from kimi_demo.engine.factory import create_engine; create_engine().close();"
        "print(*{'torch._dynamo', 'sympy', 'transformers.modeling_utils', 'accelerate'}"
        " & sys.modules.keys())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []
