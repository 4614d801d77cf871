"""Kokoro and Whisper through stand-ins: what goes into them and what is made of their answers."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, load

from tests.training import toy
from training import ears, kokoro, speak, timing
from training.kokoro import MAX_PHONES, Kokoro
from training.shards import TAIL_UNITS, UNIT_SAMPLES, read_lines, read_sound
from training.texts.sentences import is_held_out

VOCABULARY = {" ": 16, "a": 43, "b": 44, "ˈ": 156, ".": 4}


class Session:
    """Stands for an ONNX session: remembers its inputs, says sounds as long as its lengths."""

    def __init__(self, model: bytes = b"") -> None:
        self.model = model
        self.inputs: list[dict[str, np.ndarray]] = []

    def run(self, names: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.inputs.append(inputs)
        lengths = np.full(inputs["tokens"].shape[1], 2.0, np.float32)
        waveform = np.linspace(-2, 2, int(lengths.sum()) * UNIT_SAMPLES, dtype=np.float32)
        return [waveform[None], lengths[None]]


@pytest.fixture
def teachers(tmp_path: Path) -> Path:
    """A folder like that of the teachers, with styles that tell their voice and their row."""
    (tmp_path / "vocab.json").write_text(json.dumps({"vocab": VOCABULARY}), encoding="utf-8")
    (tmp_path / "voices").mkdir()
    for level, voice in enumerate(("af_heart", "am_puck")):
        rows = np.arange(510, dtype=np.float32)[:, None] + np.full((1, 256), 1000.0 * level)
        rows.astype(np.float32).tofile(tmp_path / "voices" / f"{voice}.bin")
    return tmp_path


@pytest.fixture
def speaker(teachers: Path) -> Kokoro:
    made = Kokoro(teachers)
    made.__dict__["_speech"] = Session()
    return made


# ---- Kokoro -------------------------------------------------------------------------------------


def test_phones_that_kokoro_does_not_know_are_left_out(
    speaker: Kokoro, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kokoro, "_english_reader", lambda: lambda line: (f"{line.text}ˈa b¿.", 4))
    monkeypatch.setattr(kokoro, "_mandarin_reader", lambda: lambda text: (f"a{text}b", None))
    assert speaker.phones("q", "en") == "ˈa b."
    assert speaker.phones("猫", "zh") == "ab"
    assert len(speaker.phones("a" * 900, "en")) == MAX_PHONES
    monkeypatch.setattr(kokoro, "_mandarin_reader", lambda: lambda text: f"a{text}")
    assert speaker.phones("b", "zh") == "ab"


def test_what_is_said_has_its_marks_its_style_and_its_speed(speaker: Kokoro) -> None:
    samples, lengths = speaker.speak("ˈab.", "am_puck", 0.9)
    (said,) = speaker.__dict__["_speech"].inputs
    assert said["tokens"].tolist() == [[0, 156, 43, 44, 4, 0]]
    assert said["style"].shape == (1, 256)
    assert set(said["style"].ravel()) == {1004.0}  # the row of four phones
    assert said["speed"] == np.float32(0.9)
    assert lengths == [2] * 6
    assert samples.dtype == np.int16
    assert len(samples) == sum(lengths) * UNIT_SAMPLES
    assert (samples.min(), samples.max()) == (-32767, 32767)  # loud ones are clipped


@pytest.mark.parametrize(
    ("voice", "level"), [("af_heart", 2.0), ("af_heart+0.25*am_puck", 252.0), ("am_puck", 1002.0)]
)
def test_styles_are_mixed_by_their_shares(speaker: Kokoro, voice: str, level: float) -> None:
    speaker.speak("ab", voice)
    assert set(speaker.__dict__["_speech"].inputs[-1]["style"].ravel()) == {np.float32(level)}


def test_voices_are_those_of_the_folder(speaker: Kokoro) -> None:
    assert speaker.voices() == ["af_heart", "am_puck"]


def test_lengths_are_cut_out_of_the_graph_once(
    teachers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph of one step per stage stands for Kokoro's."""
    floats = TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("style", floats, [1, 256]),
        helper.make_tensor_value_info("speed", floats, [1]),
    ]
    output = helper.make_tensor_value_info("waveform", floats, None)
    nodes = [
        helper.make_node("Cast", ["tokens"], ["t"], to=floats),
        helper.make_node("Div", ["t", "speed"], [kokoro.LENGTHS_TENSOR]),
        helper.make_node("ReduceMean", ["style"], ["mean"], keepdims=0),
        helper.make_node("Mul", [kokoro.LENGTHS_TENSOR, "mean"], ["waveform"]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "kokoro", inputs, [output]))
    model.opset_import[0].version = 13
    model.ir_version = 8
    (teachers / kokoro.MODEL).write_bytes(model.SerializeToString())
    assert Kokoro(teachers).lengths("ab", "af_heart") == [0, 43, 44, 0]
    kept = load(teachers / "kokoro_lengths.onnx")
    assert [node.op_type for node in kept.graph.node] == ["Cast", "Div"]
    (teachers / kokoro.MODEL).unlink()  # the part is enough from now on
    assert Kokoro(teachers).lengths("ab", "af_heart", 2.0) == [0, 21, 22, 0]


def test_speech_comes_with_its_lengths_out_of_one_run(teachers: Path) -> None:
    test_graph = helper.make_graph(
        [
            helper.make_node("Cast", ["tokens"], [kokoro.LENGTHS_TENSOR], to=TensorProto.FLOAT),
            helper.make_node("Tanh", [kokoro.LENGTHS_TENSOR], ["waveform"]),
        ],
        "kokoro",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, None])],
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(test_graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    (teachers / kokoro.MODEL).write_bytes(model.SerializeToString())
    session = Kokoro(teachers)._speech
    waveform, lengths = session.run(None, {"tokens": np.array([[0, 43, 0]])})
    assert lengths.tolist() == [[0, 43, 0]]
    np.testing.assert_allclose(waveform, [[0, 1, 0]], atol=1e-6)


# ---- speech -------------------------------------------------------------------------------------


@pytest.fixture
def stand_in(small_texts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (speak, timing):
        monkeypatch.setattr(module, "Kokoro", toy.ToyKokoro)
    monkeypatch.setattr(speak, "SHARD_S", 12.0)


def command(module, *arguments: object) -> None:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([str(a) for a in arguments]))


def test_a_shard_is_made_once_and_fits_its_lines(stand_in: None, tmp_path: Path) -> None:
    made = ("--teachers", tmp_path, "--kind", "hear", "--out", tmp_path / "new")
    command(speak, *made, "--shards", 2)
    first, second = (tmp_path / f"new/hear-1-00{n}" for n in range(2))
    rows = [json.loads(line) for line in first.with_suffix(".jsonl").read_text().splitlines()]
    assert [row["start"] for row in rows[1:]] == [r["start"] + r["samples"] for r in rows[:-1]]
    assert all(sum(row["frames"]) * UNIT_SAMPLES == row["samples"] for row in rows)
    assert all(len(row["frames"]) == len(row["phones"]) + 2 for row in rows)
    decoded = read_sound(first.with_suffix(".opus"))
    assert len(decoded) == rows[-1]["start"] + rows[-1]["samples"]
    assert first.with_suffix(".jsonl").read_text() != second.with_suffix(".jsonl").read_text()
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "new").iterdir()}
    second.with_suffix(".jsonl").unlink()  # was not complete
    command(speak, *made, "--shards", 2)
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "new").iterdir()}
    assert {path for path in written if again[path] == written[path]} == {
        first.with_suffix(".jsonl"),
        first.with_suffix(".opus"),
    }


@pytest.mark.parametrize("kind", speak.BITS_PER_S)
def test_a_script_speaks_its_languages_and_no_held_out_sentence(
    small_texts: None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        speak.sentences, "english_sentences", lambda: [f"It is number {i}." for i in range(400)]
    )
    lines = list(islice(speak.Script(kind, 1, list(toy.VOICES)), 300))
    assert not any(is_held_out(text) for text, *_ in lines)
    languages = Counter(language for _, language, _, _ in lines)
    speakers = {voice for _, _, voice, _ in lines}
    speeds = {speed for *_, speed in lines}
    if kind.startswith("out-"):
        assert set(languages) == {kind.removeprefix("out-")}
        assert speakers == {speak.sizes.OUTPUT_VOICES[kind.removeprefix("out-")]}
        assert speeds == {1.0}
        return
    assert 0.4 < languages["en"] / 300 < 0.8
    assert any("*" in voice for voice in speakers)
    for _, language, voice, _ in lines:
        assert {part[0] for part in re.split(r"\+|\*", voice) if part[0].isalpha()} <= (
            set("ab") if language == "en" else {"z"}
        )
    assert speak.SPEEDS[0] <= min(speeds) < max(speeds) <= speak.SPEEDS[1]


def test_seeds_speak_differently_and_repeat_themselves(small_texts: None) -> None:
    def first(seed: int) -> list[tuple]:
        return list(islice(speak.Script("hear", seed, list(toy.VOICES)), 5))

    assert first(1) == first(1) != first(2)


# ---- timing without sound -----------------------------------------------------------------------


def test_only_what_is_missing_is_timed(
    stand_in: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*toy.ENGLISH[:3], "I do not know that yet."]
    monkeypatch.setattr(timing, "texts_of", lambda language, count, seed: iter(texts))
    out = ("--teachers", tmp_path, "--language", "en", "--out", tmp_path / "en.jsonl")
    command(timing, *out)
    before = (tmp_path / "en.jsonl").read_text()
    assert [json.loads(line)["text"] for line in before.splitlines()] == texts
    texts.insert(1, toy.ENGLISH[4])
    texts.append(texts[0])
    command(timing, *out)
    after = (tmp_path / "en.jsonl").read_text()
    assert after.startswith(before)
    assert [json.loads(line)["text"] for line in after.splitlines()[4:]] == [toy.ENGLISH[4]]


def test_texts_are_sentences_and_every_answer_but_none_held_out(small_texts: None) -> None:
    for language in ("en", "zh"):
        texts = list(timing.texts_of(language, 20, 1))
        answers = timing.dialogue.answers(language)
        assert texts[: len(answers)] == answers
        others = texts[len(answers) :]
        assert len(others) > timing.QUESTIONS
        assert not any(is_held_out(text) for text in others)


def test_the_last_phone_of_a_timed_text_does_not_hold_its_silence(tmp_path: Path) -> None:
    row = toy.row_of("ab", "en", "af_heart") | {"phones": "ab.", "frames": [20, 3, 25, 9, 8]}
    (tmp_path / "en.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (timed,) = timing.read_timed(tmp_path / "en.jsonl")
    end = 3 + 3 + timing.LAST_PHONE_UNITS
    assert timed.onsets[:3] == (3, 6, end)
    assert timed.samples == (end + TAIL_UNITS) * UNIT_SAMPLES
    (sounding,) = read_lines(tmp_path / "en.jsonl")
    assert sounding.onsets[2] == 31


# ---- Whisper ------------------------------------------------------------------------------------


def test_variables_are_read_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = {
        "encoder/a/weight": rng.normal(size=(3, 4, 2)).astype(np.float16),
        "decoder/b": rng.normal(size=5).astype(np.float32),
        "c": rng.integers(-9, 9, (2, 2)).astype(np.int8),
        "scalar": np.array(7, np.int16).reshape(()),
    }
    toy.write_variables(tmp_path / "model.bin", written)
    read = ears.read_variables(tmp_path / "model.bin")
    assert list(read) == list(written)
    for name, values in written.items():
        assert read[name].dtype == values.dtype
        np.testing.assert_array_equal(read[name], values)


def test_every_weight_of_the_encoder_finds_its_place(whisper: Path) -> None:
    encoder = ears.load_encoder(whisper)
    variables = ears.read_variables(whisper / "model.bin")
    joined = variables["encoder/layer_3/self_attention/linear_0/weight"].astype(np.float32)
    attention = encoder.layers[3].self_attn
    parts = [p.weight.numpy() for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
    np.testing.assert_array_equal(np.concatenate(parts), joined)
    assert attention.k_proj.bias is None
    assert not any(p.requires_grad for p in encoder.parameters())
    mel = torch.zeros(1, ears.MEL_BINS, 3000)
    assert encoder(mel).shape == (1, 1500, 32)


def test_a_folder_is_taken_as_it_is_and_a_name_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = SimpleNamespace(download_model=lambda name: f"/models/{name}")
    monkeypatch.setitem(sys.modules, "faster_whisper", fetched)
    assert ears.find_whisper(str(tmp_path)) == tmp_path
    assert ears.find_whisper("base") == Path("/models/base")
