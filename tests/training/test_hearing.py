"""What the frozen ears hear: every utterance once a pass, in windows, as at run time."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from training import ears, hearing, sizes
from training.cache import POSITION_SAMPLES, Cache
from training.hearing import Ears, hear_sounds, pack, place, read_windows, write_pass
from training.lessons import LabelledSounds
from training.sounds import LabelledSound, Task
from training.sounds.write import write
from training.speech_tokenizer import TokenizerTraining, trained_speech_tokenizer

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture(scope="module")
def tokenizer_run(cache: Cache, whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose codebook has been started and whose layers nobody has trained."""
    torch.manual_seed(0)
    module, folder = TokenizerTraining(), tmp_path_factory.mktemp("tokenizer")
    module.start_from_whisper(whisper)
    mels = [heard.mel for heard in Ears(str(whisper), None).hear(sounds_of(cache))]
    mel = torch.from_numpy(np.concatenate(mels).astype(np.float32)).T[None]
    with torch.no_grad():
        states = module.encoder(mel, torch.ones(1, mel.shape[2], dtype=torch.bool))[0]
    module.codebook.start(states, module.encoder.quantize)
    torch.save({"ema": module.state_dict()}, folder / "checkpoint.pt")
    return folder


@pytest.fixture(scope="module")
def listener(whisper: Path, tokenizer_run: Path) -> Ears:
    return Ears(str(whisper), tokenizer_run)


@pytest.fixture(scope="module")
def heard(cache: Cache, listener: Ears) -> Cache:
    """The cache with a clean pass and a degraded one."""
    for number in (0, 1):
        write_pass(cache, listener, number)
    return Cache(cache.root)


def sounds_of(cache: Cache) -> list[np.ndarray]:
    return [cache.waveform(entry) for entry in cache.entries[:8]]


def tone(positions: int, pitch: float) -> np.ndarray:
    time = np.arange(positions * POSITION_SAMPLES) / 16_000
    return (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


# ---- ears ---------------------------------------------------------------------------------------


def test_features_are_those_of_the_encoder_at_run_time(listener: Ears, tmp_path: Path) -> None:
    ears.config(pad_seconds=sizes.PAD_SECONDS).save_pretrained(tmp_path)
    ears.feature_extractor().save_pretrained(tmp_path)
    at_run_time = AcousticEncoder.build(tmp_path)
    at_run_time.encoder = listener._encoder
    waveform = tone(20, 300)
    (heard,) = listener.hear([waveform])
    assert heard.features.shape == (20, 4 * ears.WIDTH)
    expected = at_run_time.encode(waveform)[:20]
    made = torch.from_numpy(heard.features.astype(np.float32))
    torch.testing.assert_close(made, expected, atol=0.1, rtol=0.02)  # bfloat16


def test_codes_are_those_of_the_tokenizer_at_run_time(
    cache: Cache, listener: Ears, tokenizer_run: Path, tmp_path: Path
) -> None:
    sizes.speech_tokenizer_config().save_pretrained(tmp_path)
    ears.feature_extractor().save_pretrained(tmp_path)
    at_run_time = SpeechTokenizer.build(tmp_path)
    at_run_time.encoder = trained_speech_tokenizer(tokenizer_run)
    for waveform in sounds_of(cache)[::3]:
        (heard,) = listener.hear([waveform])
        assert len(set(heard.codes.tolist())) > 5
        # What follows the last position, silence or nothing, is heard in it.
        assert at_run_time.encode(waveform)[:-1] == heard.codes[:-1].tolist()


def test_codes_do_not_depend_on_what_is_heard_beside_a_sound(listener: Ears) -> None:
    first, second = tone(20, 300), tone(33, 510)
    (alone,) = listener.hear([first])
    beside, other = listener.hear([first, second])
    assert len(alone.codes) == len(alone.features) == 20
    assert (len(alone.mel), len(other.mel)) == (8 * 20, 8 * 33)
    assert len(other.codes) == 33
    np.testing.assert_array_equal(alone.codes, beside.codes)
    np.testing.assert_array_equal(alone.mel, beside.mel)


def test_before_there_is_a_tokenizer_all_codes_are_zero(whisper: Path) -> None:
    first, second = Ears(str(whisper), None).hear([tone(5, 300), tone(8, 300)])
    assert not first.codes.any()
    assert (len(first.codes), len(second.codes)) == (5, 8)


# ---- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_windows_hold_every_utterance_once_and_none_overlaps(cache: Cache, seed: int) -> None:
    windows = list(place(cache.entries, random.Random(seed)))
    seen = Counter(index for window in windows for index, _ in window.entries)
    assert seen == Counter(range(len(cache.entries)))
    end = 0
    for window in windows:
        assert window.start == end
        end += window.length
        inside = 0
        for index, first in window.entries:
            assert first >= inside
            inside = first + cache.entries[index].length
        assert inside <= window.length
    assert any(len(window.entries) > 1 for window in windows)


def test_windows_stay_below_thirty_seconds(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "ALONE", 0.0)
    longest = max(entry.length for entry in cache.entries)
    monkeypatch.setattr(hearing, "WINDOW_POSITIONS", 2 * longest + 20)
    for indices in pack(cache.entries, random.Random(3)):
        assert sum(cache.entries[i].length + 6 for i in indices) <= 2 * longest + 20


def test_a_pass_is_read_as_it_was_written(heard: Cache) -> None:
    for number in (0, 1):
        windows = read_windows(heard.root, number)
        rows = windows[-1].start + windows[-1].length
        assert len(heard.array(f"codes-{number}")) == rows
        assert heard.array(f"heard-{number}").shape == (rows, 4 * ears.WIDTH)
        assert heard.array(f"heard-{number}").any(1).all()  # no row was left out
    assert not list(heard.root.glob("*.partial"))


def test_the_first_pass_hears_every_utterance_clean_and_alone(heard: Cache, listener: Ears) -> None:
    windows = read_windows(heard.root, 0)
    assert [(w.start, w.length) for w in windows] == [(e.start, e.length) for e in heard.entries]
    assert len(heard.array("mel16")) == 8 * heard.positions
    for entry in heard.entries[::7]:
        (alone,) = listener.hear([heard.waveform(entry)])
        np.testing.assert_array_equal(heard.array("codes-0")[entry.rows()], alone.codes)
        np.testing.assert_array_equal(heard.array("mel16")[entry.rows(8)], alone.mel)
        # Rows of a batch are padded to the longest, and the encoder attends to its silence.
        stored = heard.array("heard-0")[entry.rows()].astype(np.float32).ravel()
        alike = np.corrcoef(stored, alone.features.astype(np.float32).ravel())[0, 1]
        assert alike > 0.9


def test_later_passes_hear_something_else(heard: Cache) -> None:
    windows = read_windows(heard.root, 1)
    differing = 0
    for window in windows:
        for index, first in window.entries:
            entry = heard.entries[index]
            place_of = slice(window.start + first, window.start + first + entry.length)
            clean, spoiled = heard.array("heard-0")[entry.rows()], heard.array("heard-1")[place_of]
            differing += not np.allclose(clean, spoiled, atol=0.02)
    assert differing > len(heard.entries) / 2


def test_a_degraded_sound_keeps_its_length_and_stays_in_range() -> None:
    rng, noise = random.Random(0), [np.random.default_rng(0).normal(size=40_000) * 0.1]
    for _ in range(12):
        sound = hearing._degraded(tone(15, 440), rng, noise)
        assert sound.dtype == np.float32
        assert len(sound) == 15 * POSITION_SAMPLES
        assert 0.03 < np.abs(sound).max() <= 0.9


# ---- labelled sounds ----------------------------------------------------------------------------


def test_labelled_sounds_keep_their_tasks(listener: Ears, tmp_path: Path) -> None:
    sounds = [
        LabelledSound(tone(positions, 200)[: positions * POSITION_SAMPLES - 7], (task,))
        for positions, task in (
            (14, Task("event", "", "beep")),
            (9, Task("ask", "What is it?", "A beep.")),
        )
    ]
    write(tmp_path / "some", sounds)
    hear_sounds(tmp_path / "some", tmp_path / "heard", listener)
    labelled = LabelledSounds(tmp_path / "heard", {"event": "which sound?"})
    assert [row["length"] for row in labelled.rows] == [9, 14]  # by length
    assert labelled.sound(labelled.rows[1]).features.shape == (14, 4 * ears.WIDTH)
    drawn = {labelled.draw(random.Random(seed))[1:] for seed in range(20)}
    assert drawn == {("which sound?", "beep."), ("What is it?", "A beep.")}
