"""The benchmark command: what it reports of nano, of random weights, and of quantisation. Figures
are checked for sense, never for speed.
"""

import json

import pytest
import torch

from kimi_demo.__main__ import main
from kimi_demo.checkpoint import loading
from kimi_demo.checkpoint.locate import EMBEDDED_FOLDER
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.checkpoint.random_weights import random_tensors
from kimi_demo.checkpoint.released import TINY, write_configuration
from kimi_demo.cli.bench import comparison, surroundings
from kimi_demo.cli.bench.speed import spread
from kimi_demo.engine.local import LocalEngine
from kimi_demo.engine.tasks.speak import sentence
from kimi_demo.events import collect
from kimi_demo.intents import Speak

KEYS = {
    *("model", "revision", "random", "devices", "dtype", "quantization", "offload"),
    *("repeats", "seconds", "seed", "threads", "versions", "commit"),
    *("parameters", "load_s", "memory", "language_model", "speech", "quantization_error"),
    *("talkers", "vocoder_64_frames_processor_ms"),
}


@pytest.fixture
def bench(capsys):
    """Runs the command; returns the object that it prints."""

    def run(*arguments):
        assert main(["bench", "--device", "cpu", "--repeat", "1", *arguments]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        return json.loads(line)

    return run


def check_figures(found):
    """Everything is there, and possible."""
    assert found.keys() == KEYS
    assert [row["talkers"] for row in found["talkers"]] == [1, 2, 4]
    assert all(row["sound_each_second"]["min"] > 0 for row in found["talkers"])
    assert all(row["worst_first_sound_processor_s"]["min"] > 0 for row in found["talkers"])
    assert list(found["devices"]) == ["cpu"]
    assert all(found["devices"].values())
    assert found["versions"]["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["load_s"] > 0
    for figure in (
        found["speech"]["first_audio_s"],
        found["speech"]["rtf"],
        found["speech"]["audio_s"],
        found["language_model"]["prefill_s"],
        found["language_model"]["decode_steps_per_s"],
    ):
        assert 0 < figure["min"] <= figure["median"] <= figure["max"]
    assert found["speech"]["cold_first_audio_s"] > 0
    memory = found["memory"]
    weights = [row["bytes"] for row in memory["plan"] if row["group"] != "working memory"]
    assert min(weights) > 0
    assert {row["device"] for row in memory["plan"]} == {"cpu"}
    assert memory["gpu_peaks"] == []
    assert memory["peak_resident_bytes"] > sum(weights) // 2  # of a cache, pages come when used


@pytest.mark.slow
def test_nano(bench):
    found = bench("--seconds", "1", "--dtype", "float32")
    check_figures(found)
    assert found["model"] == "nano"
    stored = sum(file.stat().st_size for file in EMBEDDED_FOLDER.rglob("*.safetensors"))
    assert found["parameters"] == pytest.approx(stored / 2, rel=0.03)  # stored in float16
    plan = found["memory"]["plan"]
    beside = ("cache of keys and values", "working memory")
    weights = sum(row["bytes"] for row in plan if row["group"] not in beside)
    fixed = weights - 4 * found["parameters"]  # filters of the vocoder and such: buffers
    assert 0 <= fixed < weights // 100
    assert found["speech"]["audio_s"]["median"] > 2  # the sentence is spoken to its end
    assert found["language_model"]["decode_steps"] == 18  # the delay, and a second of codes
    assert found["quantization_error"] is None


@pytest.mark.slow
def test_random_weights(bench):
    found = bench("--random", "tiny", "--seconds", "3")
    check_figures(found)
    assert (found["model"], found["random"]) == (None, "tiny")
    # Speech as long as was asked for, to a code: every code is one, and none ends it.
    assert found["speech"]["audio_s"]["median"] == pytest.approx(3, abs=0.05)


@pytest.mark.slow
def test_what_quantisation_changes(bench):
    found = bench("--random", "tiny", "--seconds", "1", "--quantize", "int8", "--compare")
    check_figures(found)
    assert found["quantization"] == "int8"
    error = found["quantization_error"]
    assert error["steps"] == found["language_model"]["decode_steps"]
    for stream in ("text", "audio"):
        assert 0 < error[stream]["mean_error"] < error[stream]["max_error"] < 1
        assert 0 <= error[stream]["same_greedy_share"] <= 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--compare"], "--quantize"),
        (["--seconds", "0"], "--seconds 0"),
        (["--seconds", "1000"], "at most 60"),
        (["--random", "tiny", "--max-memory", "cpu=1MiB"], "does not fit"),
    ],
)
def test_refusals(capsys, arguments, told):
    assert main(["bench", "--device", "cpu", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    assert told in line


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    layout = write_configuration(TINY, tmp_path_factory.mktemp("tiny") / "random")
    tensors = random_tensors(layout, seed=5)
    return loading.load(layout, Placement.on("cpu"), tensors)


@pytest.mark.slow
def test_random_weights_speak_and_their_numbers_stay_finite(tiny):
    request = sentence(Speak("One sentence.", seed=1, max_new_tokens=80), "One.", tiny.tasks)
    path = comparison.answered(tiny, request, steps=80)
    delay = tiny.language_model.config.audio_delay_tokens
    assert len(path.answer) == 80
    assert all(tiny.vocabulary.is_audio(step.fed_audio) for step in path.answer[delay:])
    assert all(step.fed_text < tiny.text_tokenizer.base_tokens for step in path.answer)
    scores = comparison.follow(tiny.language_model, path)
    assert torch.isfinite(scores.text).all()
    assert torch.isfinite(scores.audio).all()
    assert scores.audio.std() > 0.1
    engine = LocalEngine(tiny)
    waveform = collect(engine.run_turn(request)).waveform
    assert torch.isfinite(torch.from_numpy(waveform)).all()
    assert waveform.std() > 0


def test_the_same_seed_gives_the_same_weights(tiny, tmp_path):
    layout = write_configuration(TINY, tmp_path / "random")
    for seed, same in ((5, True), (6, False)):
        again = loading.load(layout, Placement.on("cpu"), random_tensors(layout, seed))
        for part in ("language_model", "detokenizer"):
            one, other = (_first_matrix(getattr(checkpoint, part)) for checkpoint in (tiny, again))
            assert torch.equal(one, other) == same


def _first_matrix(part):
    module = getattr(part, "flow", part)
    return next(p for p in module.parameters() if p.dim() > 1)


def test_nothing_differs_between_equal_scores_and_all_between_others():
    text, audio = torch.randn(3, 7), torch.randn(3, 5)
    scores = comparison.Scores(text, audio, text.argmax(-1), audio.argmax(-1))
    negated = comparison.Scores(-text, audio, (-text).argmax(-1), audio.argmax(-1))
    same = comparison.difference(scores, scores)
    assert same["text"] == {"mean_error": 0.0, "max_error": 0.0, "same_greedy_share": 1.0}
    other = comparison.difference(negated, scores)
    assert other["audio"] == same["audio"]
    assert other["text"]["same_greedy_share"] == 0
    expected = (2 * text.abs().max() / text.std()).item()
    assert other["text"]["max_error"] == pytest.approx(expected)


def test_spread():
    assert spread([3.0, None, 1.0, 2.5]) == {"median": 2.5, "min": 1.0, "max": 3.0}
    assert spread([None]) is None


def test_the_commit_of_a_repository_and_of_none(tmp_path):
    found = surroundings.commit()
    assert found is None or len(found) == 40
    assert surroundings.commit(tmp_path) is None
    (tmp_path / ".git").mkdir()  # and nothing in it
    assert surroundings.commit(tmp_path) is None
