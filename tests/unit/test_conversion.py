"""Pickles to safetensors: what is kept, what is refused, and what interruptions leave behind."""

import argparse
import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from kimi_demo.checkpoint import conversion, locate
from kimi_demo.checkpoint.layout import Layout
from kimi_demo.cli import convert as command
from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.loading import load_flow, load_vocoder
from kimi_demo.model.tensors import stored_in
from tests.release import flow_pickle

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000


@pytest.fixture
def release(released, tmp_path):
    """A release of one's own, to spoil."""
    shutil.copytree(released.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / released.name


@pytest.fixture
def lines():
    return []


@pytest.fixture
def convert(tmp_path, lines):
    return lambda folder, to: conversion.convert(
        Layout.of(folder), to, lines.append, tmp_path / "cache"
    )


def published(folder, key):
    return torch.load(folder / "model.pt", weights_only=True)[key]


def stored(folder):
    return {name: tensor.read() for name, tensor in stored_in(folder).items()}


def require_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(t.dtype == theirs[name].dtype for name, t in ours.items())
    assert all(torch.equal(t, theirs[name]) for name, t in ours.items())


def all_files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def test_weights_are_kept_and_nothing_else(release, convert, tmp_path):
    out = tmp_path / "out"
    convert(release, out)
    state = published(release / "audio_detokenizer", "state_dict")
    assert state.pop("resampler.kernel") is not None
    require_equal(stored(out / "audio_detokenizer"), state)
    generator = published(release / "vocoder", "generator")
    require_equal(stored(out / "vocoder"), generator)
    assert {name.rpartition(".")[2] for name in generator} >= {"weight_g", "weight_v", "filter"}
    for config in ("audio_detokenizer/config.yaml", "vocoder/config.json"):
        assert (out / config).read_bytes() == (release / config).read_bytes()
    assert len(all_files(out)) == 4
    load_flow(out / "audio_detokenizer")
    load_vocoder(out / "vocoder")


def test_a_checkpoint_is_completed_in_place(release, convert, lines):
    before = all_files(release)
    convert(release, release)
    new = {str(path.relative_to(release)) for path in all_files(release) - before}
    assert new == {"audio_detokenizer/model.safetensors", "vocoder/model.safetensors"}
    for folder in ("audio_detokenizer", "vocoder"):
        (release / folder / "model.pt").unlink()
    assert Layout.of(release).unconverted == []
    lines.clear()
    convert(release, release)
    assert lines == [f"nothing to convert: all weights of {release.name} are safetensors"]


def test_large_weights_become_shards(release, convert, lines, tmp_path, monkeypatch):
    convert(release, tmp_path / "whole")
    monkeypatch.setattr(conversion, "MAX_SHARD_BYTES", 50_000)
    lines.clear()
    convert(release, tmp_path / "shards")
    for folder in ("audio_detokenizer", "vocoder"):
        files = {path.name for path in (tmp_path / "shards" / folder).iterdir()}
        assert "model.safetensors.index.json" in files
        assert "model.safetensors" not in files
        require_equal(stored(tmp_path / "shards" / folder), stored(tmp_path / "whole" / folder))
    flow_lines = [line for line in lines if "audio_detokenizer/model.pt" in line]
    assert len(flow_lines) > 4
    assert "0.0 MB of" in flow_lines[0]
    assert "done" in flow_lines[-1]
    # Killed before the index came to its place: the shards are not taken for weights.
    index = tmp_path / "shards" / "vocoder" / "model.safetensors.index.json"
    index.unlink()
    convert(release, tmp_path / "shards")
    assert index.exists()


def test_views_are_written_out(release, convert, tmp_path):
    """Whoever saved slices of a larger tensor saved all of it."""
    whole = torch.arange(12.0).reshape(3, 4)
    generator = {"row": whole[1], "turned": whole.T}
    torch.save({"generator": generator}, release / "vocoder" / "model.pt")
    convert(release, tmp_path / "out")
    require_equal(stored(tmp_path / "out" / "vocoder"), generator)


MEASURED = """
import sys
from pathlib import Path
from kimi_demo.checkpoint import conversion
from kimi_demo.checkpoint.layout import Layout

def peak_kb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

def resident_kb():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])

folder, out = map(Path, sys.argv[1:])
before = resident_kb()
conversion.convert(Layout.of(folder), out, lambda line: None, out / "cache")
print(1024 * (peak_kb() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured by Linux")
@pytest.mark.slow
def test_optimizer_copies_cost_no_memory(release, tmp_path):
    """200 MB are kept of 600 MB; less than 300 MB may be resident at any time."""
    weights = {f"blocks.{n}.weight": torch.zeros(10 * MEGABYTE // 4) for n in range(20)}
    pickle = release / "audio_detokenizer" / "model.pt"
    torch.save(flow_pickle(weights), pickle)
    kept = sum(t.nbytes for t in weights.values())
    assert pickle.stat().st_size > 3 * kept
    try:
        run = python(MEASURED, release, tmp_path / "out")
        grown = int(run.stdout)
        assert stored_in(tmp_path / "out" / "audio_detokenizer").keys() == {
            f"speech_model.{name}" for name in weights
        }
    finally:
        pickle.unlink()
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert 0 < grown < 1.5 * kept


class Code:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write_code(pickle, tmp_path):
    torch.save({"state_dict": {"speech_model.a": Code(tmp_path / "ran")}}, pickle)


def cut_off(pickle, tmp_path):
    pickle.write_bytes(pickle.read_bytes()[:-1000])


def empty(pickle, tmp_path):
    pickle.write_bytes(b"")


def another_key(pickle, tmp_path):
    torch.save({"model": {"speech_model.a": torch.zeros(2)}}, pickle)


def no_mapping(pickle, tmp_path):
    torch.save([torch.zeros(2)], pickle)


def other_entries(pickle, tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(2), 3: torch.zeros(2)}}, pickle)


def numbers(pickle, tmp_path):
    torch.save({"state_dict": {"speech_model.a": 1.0}}, pickle)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (write_code, r"wants to run \S*mkdir and is refused"),
        (cut_off, "cut off or broken"),
        (empty, "cut off or broken"),
        (another_key, "has no 'state_dict'"),
        (no_mapping, "has no 'state_dict'"),
        (other_entries, r"no tensors under state_dict/speech_model\.\*"),
        (numbers, r"no tensors under state_dict/speech_model\.\*"),
    ],
)
def test_unfit_pickles_are_refused(spoil, reason, release, convert, tmp_path):
    spoil(release / "audio_detokenizer" / "model.pt", tmp_path)
    before = all_files(release)
    for destination in (tmp_path / "new" / "out", release):
        with pytest.raises(CheckpointError, match=reason) as caught:
            convert(release, destination)
        assert "audio_detokenizer/model.pt" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "ran").exists()
    assert all_files(release) == before


@contextmanager
def files_limited_to(size):
    """Writing beyond fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_no_litter(release, convert, tmp_path):
    before = all_files(release)
    for destination in (tmp_path / "out", release):
        with (
            files_limited_to(100_000),
            pytest.raises(CheckpointError, match=r"audio_detokenizer cannot be written .*it needs"),
        ):
            convert(release, destination)
    assert not (tmp_path / "out").exists()
    assert all_files(release) == before


def test_room_is_looked_for_before_anything_is_written(release, convert, lines, tmp_path):
    """One stored value that stands for 40 TB: no disk here has them."""
    huge = torch.zeros(1).expand(10**13)
    torch.save({"state_dict": {"speech_model.a": huge}}, release / "audio_detokenizer" / "model.pt")
    with pytest.raises(CheckpointError, match=r"there are .*it needs 40000\.0 GB; make room"):
        convert(release, tmp_path / "out")
    assert lines == []
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to(release, convert, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert(release, tmp_path / "file")
    with pytest.raises(CheckpointError, match="set HF_HOME"):
        conversion.with_safetensors(Layout.of(release), tmp_path / "file", print)


KILLED = """
import os, signal, sys
from pathlib import Path
from kimi_demo.checkpoint import conversion
from kimi_demo.checkpoint.layout import Layout

folder, out = map(Path, sys.argv[1:])
conversion.MAX_SHARD_BYTES = 50_000
seen = []

def report(line):
    seen.append(line)
    if len(seen) == 4:
        os.kill(os.getpid(), signal.SIGKILL)

conversion.convert(Layout.of(folder), folder, report, out)
"""


@pytest.mark.slow
def test_a_kill_leaves_nothing_that_loads(release, convert, tmp_path):
    unconverted = Layout.of(release).unconverted
    died = python(KILLED, release, tmp_path / "cache", check=False)
    assert died.returncode == -9
    left = release / ".audio_detokenizer.partial"
    assert any(left.iterdir())  # it died at work
    assert Layout.of(release).unconverted == unconverted
    with pytest.raises(CheckpointError, match="missing"):
        load_flow(release / "audio_detokenizer")
    convert(release, release)
    assert not left.exists()
    load_flow(release / "audio_detokenizer")


def test_the_second_start_finds_what_the_first_converted(release, lines, tmp_path):
    layout, before = Layout.of(release), all_files(release)
    first = conversion.with_safetensors(layout, tmp_path / "cache", lines.append)
    assert first.unconverted == []
    assert (first.root, first.acoustic_encoder) == (layout.root, layout.acoustic_encoder)
    assert lines
    lines.clear()
    assert conversion.with_safetensors(layout, tmp_path / "cache", lines.append) == first
    assert lines == []
    assert all_files(release) == before


@pytest.mark.parametrize("changed", ["model.pt", "config.yaml"])
def test_another_file_is_never_taken_for_a_converted_one(changed, release, lines, tmp_path):
    layout = Layout.of(release)
    first = conversion.with_safetensors(layout, tmp_path / "cache", lines.append)
    path = release / "audio_detokenizer" / changed
    if changed == "model.pt":
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    else:
        path.write_text(path.read_text() + "# changed\n")
    second = conversion.with_safetensors(layout, tmp_path / "cache", lines.append)
    assert second.flow != first.flow
    assert second.vocoder == first.vocoder
    assert (second.flow / "config.yaml").read_bytes() == (layout.flow / "config.yaml").read_bytes()


def test_what_is_safetensors_stays_where_it_is(tmp_path):
    layout = locate.find("nano")
    assert conversion.with_safetensors(layout, tmp_path / "cache", print) == layout
    assert not (tmp_path / "cache").exists()


AT_ONCE = """
import sys, time
from pathlib import Path
from kimi_demo.checkpoint import conversion
from kimi_demo.checkpoint.layout import Layout
from kimi_demo.model.detokenizer.loading import load_flow, load_vocoder

folder, cache = map(Path, sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
layout = conversion.with_safetensors(Layout.of(folder), cache, print)
load_flow(layout.flow)
load_vocoder(layout.vocoder)
"""


@pytest.mark.slow
def test_two_processes_may_start_at_once(release, tmp_path):
    call = [sys.executable, "-c", AT_ONCE, str(release), str(tmp_path / "cache")]
    both = [
        subprocess.Popen(call, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "".join(printed).count("done") == 2  # each part once


def test_the_command(release, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args([str(release), str(tmp_path / "out")])
    assert command.run(args) == 0
    assert "converting audio_detokenizer/model.pt" in capsys.readouterr().out
    assert stored_in(tmp_path / "out" / "vocoder")


def python(program, *arguments, check=True):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        check=check,
        capture_output=True,
        text=True,
    )
