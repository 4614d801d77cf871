"""What training reads of a corpus: frames, events, several folders as one."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from training import corpus, features
from training.features import (
    FRAMES_PER_POSITION,
    MEL16_PER_POSITION,
    POSITION_SAMPLES,
    UNKNOWN,
    Entry,
    FeatureCache,
    event_frames,
    phone_frames,
)
from training.letters import letter_ids, letter_loss
from training.phones import PAUSE, PHONES
from training.scenes import EVENT_CLASSES
from training.synthesizers import SAMPLE_RATE_HZ, Phone, Utterance
from training.train_acoustic import WindowBatch, event_bits
from training.train_speech_tokenizer import Batch, known_phones

TASKS = (("caption", "", "a dog is barking."), ("ask", "你听到什么？", "狗叫声。"))


def item(**known) -> corpus.CorpusItem:
    return corpus.CorpusItem("", "v", np.zeros(0, np.int16), known.pop("phones", ()), **known)


def test_phones_are_read_at_the_middle_of_frames() -> None:
    spoken = item(phones=(("pau", 40), ("hh", 100), ("zh:a4", 160)))
    names = [PHONES[i] for i in phone_frames(spoken, 10)]
    assert names == ["pau"] * 2 + ["hh"] * 3 + ["zh:a4"] * 3 + ["pau"] * 2


def test_phones_that_nobody_knows_are_marked() -> None:
    assert len(PHONES) < UNKNOWN
    assert phone_frames(item(), 5).tolist() == [UNKNOWN] * 5


def test_events_that_overlap_set_a_bit_each() -> None:
    assert len(EVENT_CLASSES) <= 64
    first, last = EVENT_CLASSES[0], EVENT_CLASSES[-1]
    frames = event_frames(item(events=((first, 20, 75), (last, 60, 9_999))), 6)
    named = [{n for k, n in enumerate(EVENT_CLASSES) if int(f) >> k & 1} for f in frames]
    assert named == [set(), {first}, {first}, {first, last}, {last}, {last}]


def utterance(text: str, seconds: float, **known) -> Utterance:
    length = round(seconds * SAMPLE_RATE_HZ)
    waveform = (9000 * np.sin(np.arange(length) * 0.1)).astype(np.int16)
    phones = (Phone(PAUSE, 0.0, 0.1), Phone("ah", 0.1, seconds)) if text else ()
    return Utterance(text, waveform, SAMPLE_RATE_HZ, phones, **known)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caches of a voice with an utterance that is too long, and of a labelled sound."""
    folder = tmp_path_factory.mktemp("root")
    spoken = [utterance("one.", 0.5), utterance("too long.", 11.0), utterance("你好。", 0.7)]
    corpus.write_shard(folder / "corpus/slt/000", "slt", spoken)
    sound = utterance("", 1.0, events=(("dog", 200, 600),), emotion="sad", tasks=TASKS)
    corpus.write_shard(folder / "corpus/sounds/000", "sounds", [sound])
    for voice in ("slt", "sounds"):
        features.build(corpus.Corpus(folder / "corpus", [voice]), folder / voice)
    return folder


def test_a_cache_counts_in_positions_and_leaves_out_what_does_not_fit(root: Path) -> None:
    cache = FeatureCache(root / "slt")
    assert [entry.text for entry in cache.entries] == ["one.", "你好。"]
    lengths = [-(-round(seconds * SAMPLE_RATE_HZ) // POSITION_SAMPLES) for seconds in (0.5, 0.7)]
    assert [entry.length for entry in cache.entries] == lengths
    assert [entry.start for entry in cache.entries] == [0, lengths[0]]
    for name, rows in (("mel16", MEL16_PER_POSITION), ("mel24", FRAMES_PER_POSITION)):
        array = np.load(root / "slt" / f"{name}.npy")
        assert array.shape == (rows * sum(lengths), 80)
        assert np.isfinite(array).all()
    names = [PHONES[i] for i in cache.phones[cache.entries[0].rows(FRAMES_PER_POSITION)]]
    assert names == [PAUSE] * 5 + ["ah"] * 20 + [PAUSE] * (4 * lengths[0] - 25)


def test_folders_are_read_as_one(root: Path) -> None:
    both = FeatureCache([root / "slt", root / "sounds"])
    apart = FeatureCache(root / "slt"), FeatureCache(root / "sounds")
    assert len(both) == 3
    joined = [(cache, entry) for cache in apart for entry in cache.entries]
    for entry, (cache, alone) in zip(both.entries, joined, strict=True):
        assert (entry.text, entry.tasks, entry.emotion) == (alone.text, alone.tasks, alone.emotion)
        for name in ("mel16", "mel24", "phones", "events"):
            rate = MEL16_PER_POSITION if name == "mel16" else FRAMES_PER_POSITION
            expected = getattr(cache, name)[alone.rows(rate)]
            np.testing.assert_array_equal(getattr(both, name)[entry.rows(rate)], expected)
    assert both.entries[-1].tasks == TASKS
    chosen = FeatureCache([root / "slt", root / "sounds"], voices=["sounds"])
    assert chosen.entries == both.entries[-1:]


def test_a_missing_cache_is_an_error(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FeatureCache([root / "slt", root / "nowhere"])


def test_acoustic_features_are_for_the_first_of_every_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "HEARD_PER_VOICE", 2)
    entries = [Entry(str(n), "ab"[n % 3 > 0], n, 1) for n in range(9)]
    lines = (json.dumps(asdict(entry)) + "\n" for entry in entries)
    (tmp_path / "index.jsonl").write_text("".join(lines))
    assert [entry.text for entry in FeatureCache(tmp_path).to_listen()] == ["0", "1", "2", "3"]


def test_batches_hold_utterances_of_like_length(tmp_path: Path) -> None:
    entries = [Entry("", "v", 0, length) for length in range(1, 101)]
    lines = (json.dumps(asdict(entry)) + "\n" for entry in entries)
    (tmp_path / "index.jsonl").write_text("".join(lines))
    batches = FeatureCache(tmp_path).batches(5, random.Random(1))
    for lengths in ([e.length for e in next(batches)] for _ in range(40)):
        assert len(lengths) == 5
        assert max(lengths) - min(lengths) == 4


# ---- what the losses make of it -----------------------------------------------------------------


def test_frames_of_unknown_phones_are_ignored(root: Path) -> None:
    cache = FeatureCache([root / "slt", root / "sounds"])
    spoken, _, sound = cache.entries
    assert (known_phones(cache, sound) == -100).all()
    assert (known_phones(cache, spoken) >= 0).all()
    batch = Batch(cache, [spoken, sound])
    assert (batch.phones[1] == -100).all()
    assert (batch.phones[0] >= 0).sum() == FRAMES_PER_POSITION * spoken.length
    assert batch.frames.sum(1).tolist() == [4 * spoken.length, 4 * sound.length]


def test_only_labelled_sounds_say_what_can_be_heard(root: Path) -> None:
    cache = FeatureCache([root / "slt", root / "sounds"])
    spoken, mandarin, sound = cache.entries
    bits = event_bits(cache, sound)
    assert np.flatnonzero(bits.any(0)).tolist() == [EVENT_CLASSES.index("dog")]
    assert np.flatnonzero(bits.any(1)).tolist() == list(range(10, 30))
    batch = WindowBatch(cache, [[spoken, sound], [mandarin], [spoken, spoken]], "cpu")
    begin = FRAMES_PER_POSITION * spoken.length
    end = begin + FRAMES_PER_POSITION * sound.length
    assert torch.nonzero(batch.listed[0])[:, 0].tolist() == list(range(begin, end))
    assert not batch.listed[1:].any()
    np.testing.assert_array_equal(batch.events[0, begin:end].numpy(), bits)
    assert (batch.emotions[0, begin:end] >= 0).all()
    assert (batch.emotions >= 0).sum() == end - begin
    # A window spells nothing unless all of it is in letters.
    assert batch.texts == ["", "", "one. one."]


def test_rows_without_letters_do_not_count() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 20, 29, requires_grad=True)
    letters = [torch.tensor(letter_ids(text)) for text in ("hello", "", "你好。", "so")]
    lengths = torch.tensor([20, 20, 15, 10])
    loss = letter_loss(logits, letters, lengths)
    spelled = [letter_loss(logits[[n]], [letters[n]], lengths[[n]]) for n in (0, 3)]
    torch.testing.assert_close(loss, sum(spelled) / 2)
    loss.backward()
    moved = logits.grad.abs().sum((1, 2)) > 0
    assert moved.tolist() == [True, False, False, True]
    assert letter_loss(logits, [letters[1]] * 4, lengths) == 0
