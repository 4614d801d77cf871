"""Every training command once, in the order of the recipe, on a few toy sentences; then the packed
checkpoint speaks, listens, converses and chooses.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.checkpoint import loading
from kimi_demo.checkpoint.layout import Layout
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.engine.local import LocalEngine
from kimi_demo.events import Answer, collect
from kimi_demo.intents import Ask, Caption, Chat, Choose, Intent, Speak, Transcribe
from kimi_demo.messages import AudioPart, Message, SpokenPart, TextPart
from tests.training import toy
from tests.turns import turns_of
from tests.voice import voice
from training import sizes, speak, timing
from training.__main__ import main
from training.cache import Cache
from training.checkpoint import task_table
from training.shards import read_lines
from training.speech_tokenizer import kind_of
from training.texts import dialogue

PARTS = ("speech-tokenizer", "flow", "language-model", "vocoder")
KINDS = ("out-en", "out-zh", "hear", "ask")


def command(name: str, *arguments: object) -> None:
    assert main([name, *map(str, arguments)]) == 0


@pytest.fixture(scope="module")
def trained(whisper: Path, small_texts: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the commands made, each part trained for a step or two."""
    root, threads = tmp_path_factory.mktemp("nano"), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        answers = dialogue.answers
        for module in (speak, timing):
            patch.setattr(module, "Kokoro", toy.ToyKokoro)
        patch.setattr(speak, "SHARD_S", 26.0)
        patch.setattr(dialogue, "answers", lambda language: answers(language)[::40])
        make_material(root)
        train_parts(root, whisper)
    torch.set_num_threads(threads)
    return root


def make_material(root: Path) -> None:
    teachers = ("--teachers", root)
    for kind in KINDS:
        command("speak", *teachers, "--kind", kind, "--out", root / "shards")
    for language in sizes.OUTPUT_VOICES:
        timed = ("--count", 30, "--out", root / f"{language}.jsonl")
        command("timing", *teachers, "--language", language, *timed)
    command("sounds", "--out", root / "sounds", "--count", 4)
    command("cache", "--shards", root / "shards", "--kinds", *KINDS, "--out", root / "cache")


def train_parts(root: Path, whisper: Path) -> None:
    cache, step = ("--cache", root / "cache"), ("--steps", 1)
    vocoder = ("vocoder", "--cache", root / "speech", *step)
    command(*vocoder, "--shards", root / "shards", "--out", root / "plain")
    hearing = ("hearing", *cache, "--whisper", whisper)
    command(*hearing, "--passes", 0)
    tokenizer = ("--whisper", whisper, "--steps", 2, "--out", root / "speech-tokenizer")
    command("speech-tokenizer", *cache, *tokenizer)
    ears = ("--tokenizer", root / "speech-tokenizer")
    sounds = ("--sounds", root / "sounds/train", "--out", root / "heard")
    command(*hearing, *ears, *sounds, "--passes", 0, 1)
    command("flow", *cache, *ears, "--evaluate-count", 1, *step, "--out", root / "flow")
    timed = ("--timed", *(root / f"{language}.jsonl" for language in sizes.OUTPUT_VOICES))
    command("text-tokenizer", *timed, "--out", root / "text")
    lessons = (*cache, *timed, "--sounds", root / "heard", "--text-tokenizer", root / "text")
    for seed in (1, 2):
        run = ("--evaluate-count", 1, *step, "--seed", seed, "--out", root / f"language-{seed}")
        command("language-model", *lessons, *run)
    runs = (root / "language-1", root / "language-2")
    command("average", "--runs", *runs, "--out", root / "language-model")
    mels = ("--shards", root / "shards", "--flow", root / "flow", "--utterances", 2)
    command("generate-mels", *cache, *mels, "--out", root / "mels")
    adapted = ("--phase", "generated", "--generated", root / "mels", "--start-from", root / "plain")
    command(*vocoder, *adapted, "--out", root / "vocoder")
    parts = [argument for part in PARTS for argument in (f"--{part}", root / part)]
    packed = ("--whisper", whisper, "--text-tokenizer", root / "text", "--out", root / "packed")
    command("pack", *parts, *packed)


@pytest.fixture(scope="module")
def engine(trained: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(loading.load(Layout.of(trained / "packed"), Placement.on("cpu")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def sound() -> Audio:
    return Audio(toy.sound_of(toy.phones_of(toy.ENGLISH[0], "en"), "am_puck") / 32768, 24_000)


def answered(engine: LocalEngine, intent: Intent, steps: int = 12) -> Answer:
    """The first turn of an intent, ended after so many steps."""
    turn = turns_of(intent, engine.capabilities.tasks)[0]
    return collect(engine.run_turn(dataclasses.replace(turn, max_new_tokens=steps)))


# ---- the packed checkpoint ----------------------------------------------------------------------


def test_the_packed_checkpoint_is_data_in_small_files(trained: Path) -> None:
    files = [path for path in (trained / "packed").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 10_000_000
    assert {path.suffix for path in files} <= {".json", ".model", ".safetensors", ".yaml"}
    config = json.loads((trained / "packed/whisper-large-v3/config.json").read_text())
    assert config["pad_seconds"] == sizes.PAD_SECONDS


def test_it_says_what_it_is(trained: Path) -> None:
    loaded = loading.load(Layout.of(trained / "packed"), Placement.on("cpu"))
    assert loaded.about.languages == ("en", "zh")
    assert "Kokoro" in loaded.about.label
    assert "Whisper" in loaded.about.label
    assert loaded.tasks == task_table()


def test_parts_that_were_unpacked_pack_into_the_same_files(
    trained: Path, whisper: Path, tmp_path: Path
) -> None:
    command("unpack", "--checkpoint", trained / "packed", "--out", tmp_path)
    parts = [argument for part in PARTS for argument in (f"--{part}", tmp_path / part)]
    text = ("--text-tokenizer", trained / "packed")
    command("pack", *parts, "--whisper", whisper, *text, "--out", tmp_path / "packed")
    files = {p.relative_to(tmp_path / "packed") for p in (tmp_path / "packed").rglob("*.*")}
    assert files == {p.relative_to(trained / "packed") for p in (trained / "packed").rglob("*.*")}
    for name in files:
        again = (tmp_path / "packed" / name).read_bytes()
        assert again == (trained / "packed" / name).read_bytes(), name


def test_training_goes_on_from_what_was_unpacked(
    trained: Path, whisper: Path, tmp_path: Path
) -> None:
    command("unpack", "--checkpoint", trained / "packed", "--out", tmp_path)
    start = ("--start-from", tmp_path / "flow", "--evaluate-count", 1, "--steps", 1)
    command("flow", "--cache", trained / "cache", *start, "--out", tmp_path / "more")
    old, new = (
        torch.load(run / "checkpoint.pt", weights_only=True)["ema"]
        for run in (tmp_path / "flow", tmp_path / "more")
    )
    for name in ("input_linear.weight", "blocks.0.attn.qkv.weight"):
        # One step moves weights little, another beginning would differ everywhere.
        assert (new[name] - old[name]).abs().max() < 0.1 * old[name].abs().max()


# ---- what it does -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["It costs $3.50.", "今天很好。"])
def test_it_speaks(engine: LocalEngine, text: str) -> None:
    spoken = answered(engine, Speak(text), steps=40)
    assert len(spoken.waveform) == 1920 * spoken.finished.audio_tokens


def test_it_writes_down_and_describes(engine: LocalEngine, sound: Audio) -> None:
    speech = Audio(voice(2.0, 16_000), 16_000)
    intents = (
        Transcribe(speech),
        Transcribe(speech, "zh"),
        Caption(sound),
        Ask.about(sound, "是什么声音？"),
    )
    for intent in intents:
        answer = answered(engine, intent)
        assert answer.finished.text_tokens <= 12
        assert answer.finished.prompt_tokens > 20
        assert not answer.waveform.size


def test_it_converses_typed_and_spoken(engine: LocalEngine, sound: Audio) -> None:
    first = answered(engine, Chat.about("Hello."), steps=30)
    codes = first.finished.audio_codes or (1, 2, 3)
    talk = (
        Message("user", (TextPart("Hello."),)),
        Message("assistant", (SpokenPart(codes, "Hi."),)),
        Message("user", (AudioPart(sound),)),
    )
    second = answered(engine, Chat(talk), steps=30)
    assert second.finished.prompt_tokens > first.finished.prompt_tokens + len(codes)


@pytest.mark.parametrize("task", ["emotion", "sound", "scene"])
def test_it_chooses(engine: LocalEngine, sound: Audio, task: str) -> None:
    tasks = engine.capabilities.tasks
    answer = collect(engine.stream(Choose.about(sound, task)))
    assert len(answer.probabilities) == len(tasks.choices[task].options)
    assert sum(answer.probabilities) == pytest.approx(1.0, abs=1e-4)
    likeliest = int(np.argmax(answer.probabilities))
    assert answer.text == tasks.choices[task].options[likeliest]


# ---- the parts on their way ---------------------------------------------------------------------


def test_shards_of_all_kinds_are_in_the_cache(trained: Path) -> None:
    cache = Cache(trained / "cache")
    lines = [u for p in sorted((trained / "shards").glob("*.jsonl")) for u in read_lines(p)]
    assert [e.utterance.text for e in cache.entries] == [u.text for u in lines]
    assert {kind_of(entry) for entry in cache.entries} == {"en", "zh", "hear"}
    arrays = {"codes-0": 1, "heard-0": 1, "mel24": 4, "letters": 4, "mel16": 8, "wave16": 1280}
    for name, rate in arrays.items():
        assert len(cache.array(name)) == rate * cache.positions, name


def test_codes_take_part_once_the_budget_says_so(trained: Path) -> None:
    saved = torch.load(trained / "speech-tokenizer/checkpoint.pt", weights_only=True)["ema"]
    assert saved["codebook.active"]
    assert torch.equal(saved["codebook.embedding.weight"], saved["encoder.codebook.weight"])
    codes = Cache(trained / "cache").array("codes-0")
    assert 0 <= codes.min() < codes.max() < sizes.NUM_CODES


@pytest.mark.parametrize(
    ("run", "figures"),
    [
        ("speech-tokenizer", ("en_cer", "zh_phones", "hear_mel", "codes_used")),
        ("flow", ("mel_l1_4_updates", "mel_l1_15_updates")),
        ("language-1", ("en_pieces", "zh_audio", "en_asr_wer", "zh_chat")),
        ("plain", ("mel", "rtf")),
        ("vocoder", ("mel", "rtf")),
    ],
)
def test_every_run_reports_what_its_gate_looks_at(
    trained: Path, run: str, figures: tuple[str, ...]
) -> None:
    report = json.loads((trained / run / "train.jsonl").read_text().splitlines()[-1])
    for figure in figures:
        assert np.isfinite(report[f"eval_{figure}"]), figure


def test_the_language_model_starts_where_two_runs_meet(trained: Path) -> None:
    runs = ("language-1", "language-2", "language-model")
    first, second, mean = (
        torch.load(trained / run / "checkpoint.pt", weights_only=True)["ema"] for run in runs
    )
    name = next(name for name in mean if name.endswith("q_proj.weight"))
    assert not torch.equal(first[name], second[name])
    torch.testing.assert_close(mean[name], (first[name] + second[name]) / 2)


def test_generated_mels_lie_beside_their_own_sound(trained: Path) -> None:
    lengths = {e.length for e in Cache(trained / "cache").entries if kind_of(e) != "hear"}
    files = sorted((trained / "mels").glob("*.npz"))
    assert len(files) == 2
    for path in files:
        with np.load(path) as arrays:
            mel, waveform = arrays["mel"], arrays["wav"]
        assert mel.shape[0] == sizes.MEL_BINS
        assert len(waveform) == 480 * mel.shape[1]
        assert mel.shape[1] // 4 in lengths
        assert np.abs(waveform.astype(int)).max() > 5000
