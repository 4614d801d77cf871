"""Every training command for a step on a tiny corpus in two languages, packed, loaded and made to
speak, listen, converse and choose.
"""

import dataclasses
import json
import random
import shutil
from argparse import ArgumentParser
from itertools import islice

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.checkpoint import loading, source
from kimi_demo.checkpoint.layout import Layout
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.engine.local import LocalEngine
from kimi_demo.errors import CheckpointError
from kimi_demo.events import collect
from kimi_demo.messages import Message, SpokenPart, TextPart
from kimi_demo.model.text_tokenizer import TextTokenizer
from training import (
    corpus,
    curriculum,
    encode,
    features,
    generate_mels,
    pack,
    record_tasks,
    shapes,
    train_acoustic,
    train_flow,
    train_language_model,
    train_speech_tokenizer,
    train_text_tokenizer,
    train_vocoder,
    unpack,
)
from training.features import FRAMES_PER_POSITION, FeatureCache
from training.synthesizers import (
    EspeakSynthesizer,
    FliteSynthesizer,
    SynthesizerUnavailableError,
)
from training.training import load_averaged
from training.turns import IGNORED, ExampleWriter, collate

TEXTS = {
    "en": ("hello there.", "what is it?", "one and two.", "the cat sleeps."),
    "zh": ("你好。", "今天很好。", "这是什么？", "我有一只猫。"),
}
HELD_OUT = {"en": ("it is red.", "good night."), "zh": ("猫很好。", "你有什么？")}
DIALOGUES = 40
ONE_STEP = ["--steps", "1", "--seed", "3"]


def write_corpus(root):
    """A few sentences of each voice, answers, questions and labelled sounds."""
    shards = {
        "sounds": islice(record_tasks.labelled(1), 8),
        "heldout-sounds": islice(record_tasks.labelled(1, held_out=True), 2),
    }
    for language, voice in shapes.OUTPUT_VOICES.items():
        shards[voice] = spoken_by(voice, 3 * TEXTS[language])
        shards[f"heldout-{voice}"] = spoken_by(voice, HELD_OUT[language])
        questions = record_tasks.questions(language, 1, DIALOGUES)
        answers = record_tasks.answers(language, 1, DIALOGUES)
        shards[f"questions-{language}"] = islice(questions, 4)
        shards[f"answers-{language}"] = islice(answers, 6)
    for name, utterances in shards.items():
        corpus.write_shard(root / name / "000", name, utterances)


def spoken_by(voice, texts):
    rng = random.Random(1)
    return (corpus.speak(voice, text, rng) for text in texts)


def command(module, *arguments):
    parser = ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([str(a) for a in arguments]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All parts, each trained for a step, and the packed checkpoint."""
    try:
        FliteSynthesizer()
        EspeakSynthesizer()
    except SynthesizerUnavailableError as error:
        pytest.skip(str(error))
    root = tmp_path_factory.mktemp("nano")
    threads = torch.get_num_threads()
    write_corpus(root / "corpus")
    names = sorted(path.name for path in (root / "corpus").iterdir())
    learned = [name for name in names if not name.startswith("heldout-")]
    spoken = [name for name in learned if name != "sounds"]
    held_out = [name for name in names if name.startswith("heldout-")]
    caches = {"spoken": spoken, "labelled": ["sounds"], "heldout": held_out}
    for cache, voices in caches.items():
        place = ["--corpus", root / "corpus", "--out", root / cache]
        command(features, *place, "--voices", *voices)
    command(train_text_tokenizer, "--out", root / "text", "--sentences", 200, "--merges", 100)
    data = ["--features", root / "spoken", root / "labelled", "--heldout", root / "heldout"]
    codes = ["--batch", 4, "--quantize-from", 0.0, *ONE_STEP, "--out", root / "tokenizer"]
    command(train_speech_tokenizer, *data, *codes)
    tokenizer = ["--tokenizer", root / "tokenizer"]
    acoustic = [*data, *tokenizer, "--batch", 2, *ONE_STEP, "--out", root / "acoustic"]
    command(train_acoustic, *acoustic)
    every = [root / cache for cache in caches]
    command(encode, "--features", *every, "--acoustic", root / "acoustic", *tokenizer)
    language = [*data, *tokenizer, "--text-tokenizer", root / "text", "--evaluate-count", 1]
    command(train_language_model, *language, *ONE_STEP, "--out", root / "language-model")
    flow = [*data, *tokenizer, "--evaluate-count", 1, *ONE_STEP, "--out", root / "flow"]
    command(train_flow, *flow)
    mels = ["--features", root / "spoken", "--corpus", root / "corpus", "--flow", root / "flow"]
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


@pytest.fixture(scope="module")
def loaded(trained):
    return loading.load(Layout.of(trained / "packed"), Placement.on("cpu"))


@pytest.fixture(scope="module")
def engine(loaded):
    made = LocalEngine(loaded)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sound():
    return Audio(np.sin(np.arange(16_000) * 0.1).astype(np.float32), 16_000)


@pytest.fixture(scope="module")
def cache(trained):
    return FeatureCache([trained / "spoken", trained / "labelled"])


@pytest.fixture(scope="module")
def writer(trained, cache):
    tokenizer = TextTokenizer.load(trained / "text")
    return ExampleWriter(cache, tokenizer, shapes.task_table())


def answered(engine, request, steps=12):
    return collect(engine.stream(dataclasses.replace(request, max_new_tokens=steps)))


# ---- the packed checkpoint ----------------------------------------------------------------------


def test_the_packed_checkpoint_is_small_and_in_the_published_layout(trained):
    files = [path for path in (trained / "packed").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 10_000_000
    assert sum(path.stat().st_size for path in files) <= 40_000_000
    assert {path.suffix for path in files} <= {".json", ".model", ".safetensors", ".yaml"}
    index = json.loads((trained / "packed/model.safetensors.index.json").read_text())
    assert "model.mimo_layers.1.self_attn.q_proj.bias" in index["weight_map"]


def test_parts_that_were_unpacked_pack_into_the_same_files(trained, tmp_path):
    command(unpack, "--checkpoint", trained / "packed", "--out", tmp_path)
    shutil.copytree(trained / "packed", tmp_path / "packed")
    parts = ("speech-tokenizer", "acoustic", "language-model", "flow")
    for weights in (tmp_path / "packed").rglob("*.safetensors"):
        if weights.parent.name != "vocoder":  # its runs are not to be had from what is packed
            weights.unlink()
    runs = [argument for part in parts for argument in (f"--{part}", tmp_path / part)]
    command(pack, *runs, "--out", tmp_path / "packed")
    for path in (trained / "packed").rglob("*"):
        if path.is_file():
            again = tmp_path / "packed" / path.relative_to(trained / "packed")
            assert again.read_bytes() == path.read_bytes(), path.name


def test_the_packed_checkpoint_says_what_it_is(loaded):
    assert loaded.about.languages == ("en", "zh")
    assert "Mandarin" in loaded.about.label
    assert loaded.tasks == shapes.task_table()


def test_it_speaks(loaded, engine):
    for text in ("Hello!", "你好！"):
        spoken = answered(engine, loaded.tasks.speech(text), steps=40)
        assert len(spoken.waveform) == 1920 * spoken.finished.audio_tokens


def test_it_transcribes_and_describes(loaded, engine, sound):
    tasks = loaded.tasks
    for request in (
        tasks.transcription(sound),
        tasks.caption(sound),
        tasks.ask(sound, "是什么声音？"),
    ):
        answer = answered(engine, request)
        assert answer.finished.text_tokens <= 12
        assert answer.finished.prompt_tokens > 13
        assert not answer.waveform.size


def test_it_converses_typed_and_spoken(loaded, engine, sound):
    first = answered(engine, loaded.tasks.chat("hello."), steps=30)
    codes = first.finished.audio_codes or (1, 2, 3)
    history = [
        Message("user", (TextPart("hello."),)),
        Message("assistant", (SpokenPart(codes, "hi."),)),
    ]
    second = answered(engine, loaded.tasks.chat(sound, history), steps=30)
    assert second.finished.prompt_tokens > first.finished.prompt_tokens + len(codes)


@pytest.mark.parametrize("task", ["emotion", "sound", "scene"])
def test_it_chooses(loaded, engine, sound, task):
    answer = collect(engine.stream(loaded.tasks.choose(sound, task)))
    assert len(answer.probabilities) == len(loaded.tasks.choices[task].options)
    assert sum(answer.probabilities) == pytest.approx(1.0, abs=1e-4)
    likeliest = int(np.argmax(answer.probabilities))
    assert answer.text == loaded.tasks.choices[task].options[likeliest]


def test_missing_and_broken_files_are_named(trained, tmp_path):
    packed = trained / "packed"
    weights = packed / "vocoder/model.safetensors"
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointError, match="vocoder"):
            loading.load(Layout.of(packed), Placement.on("cpu"))
    finally:
        weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        source.find(str(tmp_path))


# ---- the parts on their way ---------------------------------------------------------------------


@pytest.mark.parametrize("task", curriculum.TASK_WEIGHTS)
def test_the_model_learns_from_batches_of_every_task(trained, cache, writer, task, monkeypatch):
    monkeypatch.setattr(curriculum, "POSITIONS_PER_BATCH", 400)
    special_ids = TextTokenizer.load(trained / "text").special_ids
    module = train_language_model.LanguageModelTraining(special_ids)
    load_averaged(module, trained / "language-model")
    _, batch = next(curriculum.Curriculum(writer, cache, {task: 1}, 0.5, seed=2))
    text, audio = module(batch)
    (text + audio).backward()
    assert torch.isfinite(text)
    assert text > 1
    assert (audio > 1) == (task in ("reading", "chat"))
    adaptor = [p.grad for n, p in module.named_parameters() if "adaptor" in n]
    assert adaptor
    assert any(g is not None and g.any() for g in adaptor) == bool(batch.heard.any())
    assert len(module.exact(batch)) == len(batch.text_ids)


def test_the_words_of_an_answer_may_weigh_more_than_its_phones(trained, cache, writer):
    special_ids = TextTokenizer.load(trained / "text").special_ids
    module = train_language_model.LanguageModelTraining(special_ids)
    _, batch = next(curriculum.Curriculum(writer, cache, {"chat": 1}, 0.5, seed=2))
    words_alone = batch.text_targets.clone()
    hidden = ~module.words[words_alone.clamp(min=0)] & (words_alone != IGNORED)
    assert hidden.any()
    words_alone[hidden] = IGNORED
    text, audio = module(batch, answer_weight=1e9)
    expected, same_audio = module(dataclasses.replace(batch, text_targets=words_alone))
    torch.testing.assert_close(text, expected)
    torch.testing.assert_close(audio, same_audio)


def test_the_evaluation_reports_every_task_in_both_languages(trained):
    lines = (trained / "language-model/train.jsonl").read_text().splitlines()
    report = json.loads(lines[-1])
    for name in ("en_text", "en_audio", "zh_text", "zh_audio"):
        assert report[f"eval_{name}"] > 1  # nothing is known after one step
    for name in ("en_speech_cer", "heldout-slt_asr", "heldout-mandarin_asr"):
        assert report[f"eval_{name}"] > 0.5
    for name in ("en_length_ratio", "en_chat", "zh_chat", "sound_caption", "sound_ask"):
        assert 0 <= report[f"eval_{name}"] < 10


def test_the_codebook_takes_part_from_when_it_is_told(trained):
    module = train_speech_tokenizer.TokenizerTraining(shapes.speech_tokenizer_config())
    assert load_averaged(module, trained / "tokenizer").codebook.active
    codes = np.concatenate([np.load(trained / c / "codes.npy") for c in ("spoken", "labelled")])
    assert len(np.unique(codes)) > 50
    assert 0 <= codes.min() <= codes.max() < shapes.NUM_CODES


def test_a_run_can_begin_with_the_layers_of_another(trained, tmp_path):
    data = ["--features", trained / "spoken", "--heldout", trained / "heldout"]
    start = ["--start-from", trained / "flow", "--evaluate-count", 1, *ONE_STEP]
    command(train_flow, *data, *start, "--out", tmp_path / "flow")
    # One step moves weights little, another beginning would differ everywhere.
    before, after = (train_flow.trained_flow(run) for run in (trained / "flow", tmp_path / "flow"))
    for name in ("input_linear.weight", "blocks.0.attn.qkv.weight"):
        first, second = before.state_dict()[name], after.state_dict()[name]
        assert (first - second).abs().max() < 0.1 * first.abs().max()
    rows = (m.semantic_token_embedding.weight for m in (before, after))
    assert not torch.allclose(*rows, atol=0.05)


def test_generated_mels_lie_beside_their_own_waveform(trained):
    said = {
        -(-len(item.waveform) // features.POSITION_SAMPLES)
        for voice in shapes.OUTPUT_VOICES.values()
        for item in corpus.Corpus(trained / "corpus", [voice])
    }
    files = sorted((trained / "mels").glob("*.npz"))
    assert len(files) == 2
    for path in files:
        with np.load(path) as arrays:
            mel, waveform = arrays["mel"], arrays["wav"]
        assert mel.shape[0] == shapes.MEL_BINS
        assert len(waveform) == 480 * mel.shape[1]
        assert mel.shape[1] // FRAMES_PER_POSITION in said
        assert np.abs(waveform.astype(int)).max() > 1000


def test_examples_align_phones_codes_and_targets(cache, writer):
    entry = next(entry for entry in cache.entries if entry.voice == "mandarin")
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


def test_caches_count_in_positions(trained):
    for root in (trained / "spoken", trained / "labelled", trained / "heldout"):
        total = sum(entry.length for entry in FeatureCache(root).entries)
        rates = {"codes": 1, "acoustic": 1, "mel24": 4, "phones": 4, "events": 4, "mel16": 8}
        for name, rate in rates.items():
            assert len(np.load(root / f"{name}.npy", mmap_mode="r")) == rate * total, name
