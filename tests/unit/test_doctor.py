"""What `doctor` finds: in nano, in a release that is whole, spoilt, too large or not here yet."""

import json
import re
import shutil

import pytest
from huggingface_hub import constants

from kimi_demo.__main__ import main
from kimi_demo.checkpoint import conversion, hub
from kimi_demo.checkpoint.locate import EMBEDDED_FOLDER


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "default_cache", lambda: tmp_path / "cache")


@pytest.fixture
def examine(capsys):
    """Runs the command; returns its exit code and what it says on each topic."""

    def run(*arguments):
        code = main(["doctor", "--json", "--device", "cpu", *map(str, arguments)])
        lines = capsys.readouterr().out.splitlines()
        found = [json.loads(line) for line in lines]
        topics = {}
        for finding in found:
            topics.setdefault(finding["topic"], []).append(finding["text"])
        assert (code == 0) == all(finding["ok"] for finding in found)
        return code, topics

    return run


def test_nano_would_start(examine, capsys):
    code, topics = examine()
    assert code == 0
    index = json.loads((EMBEDDED_FOLDER / "model.safetensors.index.json").read_text())
    assert f"language model: {len(index['weight_map'])} tensors, all fit" in topics["files"]
    parameters = int(topics["parameters"][0].removesuffix(" in all").replace(",", ""))
    stored = sum(file.stat().st_size for file in EMBEDDED_FOLDER.rglob("*.safetensors"))
    assert parameters == pytest.approx(stored / 2, rel=0.03)  # float16; sinusoids are not stored
    assert "flow and vocoder" in topics["memory plan"][0]
    assert "torch" in topics["packages"][0]
    assert main(["doctor", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "it would start"


def test_a_release_would_start_and_is_not_converted_by_looking(examine, released, tmp_path):
    code, topics = examine("--model", released)
    assert code == 0
    assert "flow matching: still a pickle" in topics["files"]
    assert "will be converted once" in topics["conversion"][0]
    assert not (tmp_path / "cache").exists()


def test_what_does_not_fit_is_named(examine, released, tmp_path):
    folder = tmp_path / "Kimi-Audio-7B-Instruct"
    shutil.copytree(released.parent, tmp_path, dirs_exist_ok=True)
    shard = folder / "model-3-of-35.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    code, topics = examine("--model", folder)
    assert code == 2
    assert "model-3-of-35.safetensors is cut off" in topics["model"][0]


def test_too_little_memory_says_what_would_do(examine):
    code, topics = examine("--max-memory", "cpu=200MiB")
    assert code == 2
    assert "needs" in topics["memory plan"][0]


@pytest.fixture
def _no_hub(tmp_path, monkeypatch):
    """Nothing is in the cache, and nothing may be fetched."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


RELEASE = ("doctor", "--device", "cpu", "--dtype", "bfloat16", "--model", hub.RELEASE)


@pytest.mark.usefixtures("_no_hub")
def test_the_release_is_known_without_a_download(capsys):
    assert main([*RELEASE, "--max-memory", "cpu=32GiB"]) == 2  # its files are not here
    told = capsys.readouterr().out
    assert "9,766,336,640 in the language model as published" in told
    assert "flow and vocoder" in told
    assert "not wholly in the cache" in told
    assert main([*RELEASE, "--max-memory", "cpu=32GiB", "--json"]) == 2
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert 9_766_336_640 in [finding.get("parameters") for finding in found]
    (plan,) = (finding for finding in found if finding["topic"] == "memory plan")
    weights = [row["bytes"] for row in plan["rows"] if row["what"] == "language model"]
    assert weights == [2 * 9_766_334_464]


@pytest.mark.usefixtures("_no_hub")
def test_a_release_that_does_not_fit_here_says_what_would(capsys):
    assert main([*RELEASE, "--max-memory", "cpu=16GiB"]) == 2
    told = capsys.readouterr().out
    assert "9,766,336,640" in told
    assert re.search(r"NO  memory plan: the model does not fit: in bfloat16 it needs 2\d\.\d", told)
    assert "--offload disk" in told


def test_an_unknown_checkpoint(examine):
    code, topics = examine("--model", "no-such-model")
    assert code == 2
    assert "no checkpoint" in topics["model"][0]


def test_what_would_be_downloaded(examine, released, monkeypatch):
    configurations = hub.Layout.of(released)
    files = [
        hub.Download("a/b", "model-1-of-35.safetensors", 2**30),
        hub.Download("a/b", "audio_detokenizer/model.pt", 19 * 2**30),
    ]
    monkeypatch.setattr(hub, "download_configuration", lambda *_: configurations)
    monkeypatch.setattr(hub, "pending", lambda *_: files)
    monkeypatch.setattr(hub, "cache_folder", lambda: released)
    _, topics = examine("--model", "a/b")
    assert topics["download"][-1] == "2 files, 20.00 GiB in all"
    assert "memory plan" in topics
    monkeypatch.setattr(
        hub, "pending", lambda *_: [hub.Download("a/b", "model.safetensors", 2**60)]
    )
    code, topics = examine("--model", "a/b")
    assert code == 2
    assert "too little" in topics["disk"][0]
