"""Every training command for one step on a tiny corpus, packed, loaded and made to speak and
listen.
"""

import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.engine.local import LocalEngine
from kimi_demo.events import collect
from kimi_demo.messages import Request
from kimi_demo.model import checkpoint
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.nano import (
    encode,
    features,
    generate_mels,
    pack,
    shapes,
    train_acoustic,
    train_flow,
    train_language_model,
    train_speech_tokenizer,
    train_text_tokenizer,
    train_vocoder,
)
from kimi_demo.nano.corpus import CorpusItem
from kimi_demo.nano.features import FRAMES_PER_POSITION, FeatureCache, phone_frames
from kimi_demo.nano.phones import PHONES
from kimi_demo.nano.turns import IGNORED, ExampleWriter, collate

TEXTS = ("hello there.", "what is it?", "one and two.", "the cat sleeps.")
ONE_STEP = ["--steps", "1", "--seed", "3"]


def write_corpus(root: Path, voice: str) -> None:
    """A shard of noisy tones in the corpus format."""
    folder = root / voice / "000"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sounds, lines, start = [], [], 0
    for number in range(12):
        length = 16_000 + 1_600 * (number % 4)
        tone = np.sin(np.arange(length) * (0.05 + 0.02 * (number % 4)))
        sounds.append(((0.3 * tone + 0.02 * rng.standard_normal(length)) * 32767).astype(np.int16))
        phones = [["pau", 100], ["ah", 600], ["s", round(length / 16)]]
        lines.append(
            {"text": TEXTS[number % 4], "voice": voice, "start_sample": start}
            | {"num_samples": length, "phones": phones}
        )
        start += length
    np.save(folder / "audio.npy", np.concatenate(sounds))
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def command(module, *arguments):
    parser = ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([str(a) for a in arguments]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All parts, each trained for a step, and the packed checkpoint."""
    root = tmp_path_factory.mktemp("nano")
    threads = torch.get_num_threads()
    voice, held_out = shapes.OUTPUT_VOICE, f"heldout-{shapes.OUTPUT_VOICE}"
    for name in (voice, held_out):
        write_corpus(root / "corpus", name)
    command(features, "--corpus", root / "corpus", "--voices", voice, "--out", root / "features")
    command(features, "--corpus", root / "corpus", "--voices", held_out, "--out", root / "heldout")
    train_text_tokenizer.train(TEXTS * 50, shapes.TEXT_MERGES, root / "text")
    data = ["--features", root / "features", "--heldout", root / "heldout"]
    command(train_speech_tokenizer, *data, "--batch", 4, *ONE_STEP, "--out", root / "tokenizer")
    tokenizer = ["--tokenizer", root / "tokenizer"]
    acoustic = [*data, *tokenizer, "--batch", 2, *ONE_STEP, "--out", root / "acoustic"]
    command(train_acoustic, *acoustic)
    for cache in ("features", "heldout"):
        paths = ["--features", root / cache, "--acoustic", root / "acoustic"]
        command(encode, *paths, *tokenizer)
    language = [*data, *tokenizer, "--text-tokenizer", root / "text", "--evaluate-count", 1]
    command(
        train_language_model, *language, "--batch", 4, *ONE_STEP, "--out", root / "language-model"
    )
    flow = [*data, *tokenizer, "--evaluate-count", 1, *ONE_STEP, "--out", root / "flow"]
    command(train_flow, *flow)
    mels = ["--features", root / "features", "--corpus", root / "corpus", "--flow", root / "flow"]
    command(generate_mels, *mels, "--utterances", 2, "--out", root / "mels")
    vocoder = ["--cache", root / "speech", "--corpus", root / "corpus", "--phase", "generated"]
    command(
        train_vocoder, *vocoder, "--generated", root / "mels", *ONE_STEP, "--out", root / "vocoder"
    )
    parts = ("acoustic", "language-model", "flow", "vocoder")
    runs = [argument for part in parts for argument in (f"--{part}", root / part)]
    runs += ["--speech-tokenizer", root / "tokenizer", "--text-tokenizer", root / "text"]
    command(pack, *runs, "--out", root / "packed")
    torch.set_num_threads(threads)
    return root


def test_the_packed_checkpoint_is_small_and_in_the_published_layout(trained):
    files = [path for path in (trained / "packed").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 10_000_000
    assert sum(path.stat().st_size for path in files) <= 40_000_000
    assert {path.suffix for path in files} <= {".json", ".model", ".safetensors", ".yaml"}
    index = json.loads((trained / "packed/model.safetensors.index.json").read_text())
    assert "model.mimo_layers.1.self_attn.q_proj.bias" in index["weight_map"]


def test_the_packed_checkpoint_speaks_and_listens(trained):
    loaded = checkpoint.load(trained / "packed", torch.device("cpu"), torch.float32)
    engine = LocalEngine(loaded)
    speech = loaded.tasks.speech("Hello!")
    spoken = collect(engine.stream(Request(speech.messages, "both", max_new_tokens=40)))
    assert len(spoken.waveform) == 1920 * spoken.finished.audio_tokens
    sound = Audio(np.sin(np.arange(16_000) * 0.1).astype(np.float32), 16_000)
    heard = loaded.tasks.transcription(sound)
    answer = collect(engine.stream(Request(heard.messages, "text", max_new_tokens=8)))
    assert answer.finished.text_tokens <= 8
    assert answer.finished.prompt_tokens > 13


def test_missing_and_broken_files_are_named(trained, tmp_path):
    packed = trained / "packed"
    weights = packed / "vocoder/model.safetensors"
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[: len(content) // 2])
        with pytest.raises(checkpoint.CheckpointError, match="vocoder"):
            checkpoint.load(packed, torch.device("cpu"), torch.float32)
    finally:
        weights.write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint"):
        checkpoint.find(str(tmp_path))


def test_examples_align_phones_codes_and_targets(trained):
    cache = FeatureCache(trained / "features")
    tokenizer = TextTokenizer.load(trained / "text")
    writer = ExampleWriter(cache, tokenizer, shapes.task_table())
    entry = cache.entries[0]
    ids = writer.vocabulary
    reading = writer.reading(entry)
    delay = shapes.AUDIO_DELAY
    assert len(reading.text_answer) == len(reading.audio_answer) == entry.length + 1 + delay
    assert reading.text_answer[entry.length] == ids.text_eos
    assert reading.audio_answer[:delay] == [ids.text_blank] * delay
    assert reading.audio_answer[-1] == ids.msg_end
    codes = [ids.audio_code(token) for token in reading.audio_answer[delay:-1]]
    assert codes == cache.codes[entry.rows(1)].tolist()
    batch = collate([reading, writer.transcription(entry)], ids, "cpu")
    first = len(reading.prompt) - 1
    assert batch.text_targets[0, first] == reading.text_answer[0]
    assert (batch.audio_targets[0, first : first + delay] == IGNORED).all()
    assert batch.audio_targets[0, first + delay] == reading.audio_answer[delay]
    assert batch.heard[1].sum() == entry.length == len(batch.features)
    assert (batch.audio_targets[1] == IGNORED).all()


def test_phones_are_read_at_the_middle_of_frames():
    item = CorpusItem("hi", "slt", np.zeros(0, np.int16), (("pau", 40), ("hh", 100), ("ay", 160)))
    names = [PHONES[i] for i in phone_frames(item, 10)]
    assert names == ["pau"] * 2 + ["hh"] * 3 + ["ay"] * 3 + ["pau"] * 2


def test_caches_count_in_positions(trained):
    cache = FeatureCache(trained / "features")
    total = sum(entry.length for entry in cache.entries)
    assert len(cache.codes) == len(cache.acoustic) == total
    assert len(cache.mel24) == len(cache.phones) == FRAMES_PER_POSITION * total
    assert len(cache.mel16) == 8 * total
