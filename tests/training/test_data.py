"""From shards to a cache: silence is cut, letters and pieces stand where they are said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training import toy
from training.alphabet import (
    LETTERS,
    SILENT,
    PieceSpeller,
    choose_pieces,
    count_pieces,
    frame_letters,
    rows_of_units,
    steps_of,
    units,
)
from training.cache import FRAME_SAMPLES, POSITION_SAMPLES, Cache
from training.shards import (
    LEAD_UNITS,
    TAIL_UNITS,
    UNIT_SAMPLES,
    Utterance,
    cut_silence,
    cut_tail,
    read_lines,
    read_shards,
    read_sound,
)

# ---- shards -------------------------------------------------------------------------------------


def values(phones: str, frames: list[int], start: int = 0) -> dict:
    row = {"text": "t", "language": "en", "voice": "v", "phones": phones, "frames": frames}
    return row | {"start": start, "samples": sum(frames) * UNIT_SAMPLES}


def test_silence_before_the_first_phone_is_cut_but_for_a_little() -> None:
    cut = cut_silence(values("ab", [20, 3, 4, 9], start=1000))
    assert cut.start == 1000 + (20 - LEAD_UNITS) * UNIT_SAMPLES
    assert cut.onsets == (LEAD_UNITS, LEAD_UNITS + 3, LEAD_UNITS + 7)
    assert cut.samples == cut.onsets[-1] * UNIT_SAMPLES
    short = cut_silence(values("ab", [1, 3, 4, 9]))
    assert (short.start, short.onsets) == (0, (1, 4, 8))


def test_marks_at_the_end_are_silence_too() -> None:
    plain = cut_silence(values("ab", [5, 3, 4, 9]))
    marked = cut_silence(values("ab ...", [5, 3, 4, 2, 5, 5, 5, 9]))
    assert marked.samples == plain.samples
    assert len(marked.onsets) == len("ab ...") + 1


def test_what_is_softer_than_speech_at_the_end_is_cut() -> None:
    said = cut_silence(values("ab", [3, 4, 20, 2]))
    sound = np.zeros(40 * UNIT_SAMPLES, np.int16)
    sound[3 * UNIT_SAMPLES : 10 * UNIT_SAMPLES] = 8000
    sound[10 * UNIT_SAMPLES :] = 100  # breath
    cut, samples = cut_tail(said, sound)
    assert cut.samples == len(samples) == (10 + TAIL_UNITS) * UNIT_SAMPLES
    assert cut.onsets == (3, 7, 10)
    np.testing.assert_array_equal(samples, sound[: len(samples)])


def test_a_shard_decodes_to_exactly_its_samples(tmp_path: Path) -> None:
    rows = [toy.row_of(text, "en", "af_heart") for text in toy.ENGLISH[:3]]
    written = toy.write_shard(tmp_path / "out-en-1-000", rows)
    read = read_sound(tmp_path / "out-en-1-000.opus")
    assert len(read) == len(written) == sum(sum(row["frames"]) for row in rows) * UNIT_SAMPLES
    sounds = [sound / np.float32(32768) for sound in (read, written)]
    alike = [float(sounds[0] @ np.roll(sounds[1], shift)) for shift in range(-40, 41, 4)]
    assert max(alike) == alike[10]  # no delay


def test_kinds_are_picked_by_the_names_of_shards(shards: Path) -> None:
    spoken = list(read_shards([shards], ["out-en", "hear"]))
    assert {u.voice for u, _ in spoken if u.language == "zh"} == {"zm_yunxi"}
    assert all(len(samples) == utterance.samples for utterance, samples in spoken)
    assert all(np.abs(samples).max() > 5000 for _, samples in spoken)


# ---- alphabet -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoken(shards: Path) -> list[Utterance]:
    return [u for path in sorted(shards.glob("*.jsonl")) for u in read_lines(path)]


def test_stress_is_no_unit_and_a_tone_belongs_to_its_vowel() -> None:
    said = toy.utterance("ˈa, ma→b", [0, 2, 4, 6, 8, 9, 11, 13, 15])
    assert units(said) == [(2, "a"), (8, "m"), (9, "a→"), (13, "b")]


def test_units_stand_in_the_step_in_which_they_begin() -> None:
    # Steps of 80 ms are 3.2 units of 25 ms long.
    said = toy.utterance("abdef", [0, 3, 4, 9, 10, 12])
    assert rows_of_units(said) == [["a", "b"], ["d"], ["e"], ["f"]]
    assert steps_of(said) == 4


def test_what_begins_at_the_very_end_is_said_in_the_last_step() -> None:
    said = toy.utterance("ab", [0, 6, 7], samples=6 * UNIT_SAMPLES)
    assert rows_of_units(said) == [["a"], ["b"]]


def test_no_unit_is_lost_by_frequent_pieces(spoken: list[Utterance]) -> None:
    singles = {unit for u in spoken for _, unit in units(u)}
    for size in (0, 60, 1000):
        speller = PieceSpeller(choose_pieces(count_pieces(spoken), singles, size))
        for said in spoken:
            steps = speller(said)
            assert len(steps) == steps_of(said)
            pieces = "".join(speller.pieces[step] for step in steps).replace(SILENT, "")
            assert pieces == "".join(unit for _, unit in units(said))


def test_what_fits_into_no_piece_is_said_a_step_later() -> None:
    speller = PieceSpeller([SILENT, "a", "b", "d", "ab"])
    crowded = toy.utterance("abd", [0, 1, 2, 13])
    assert [speller.pieces[i] for i in speller(crowded)] == ["ab", "d", SILENT, SILENT, SILENT]


def test_pieces_are_the_silent_one_singles_and_the_most_frequent(spoken: list[Utterance]) -> None:
    counts = count_pieces(spoken)
    chosen = choose_pieces(counts, {"b", "a"}, 8)
    assert chosen[:3] == [SILENT, "a", "b"]
    assert len(chosen) == len(set(chosen)) == 8
    left_out = [count for piece, count in counts.items() if piece and piece not in chosen]
    assert min(counts[piece] for piece in chosen[3:]) >= max(left_out)


def test_frames_are_labelled_with_the_letter_at_their_middle() -> None:
    # Frames of 20 ms, units of 25: a lasts 50 ms, a stressed b 75, then a comma of 50.
    said = toy.utterance("aˈb,", [0, 2, 3, 5, 7])
    labels = frame_letters(said, 9, FRAME_SAMPLES)
    a, b = (LETTERS.index(letter) + 1 for letter in "ab")
    assert labels == [a, a, b, b, b, b, 0, 0, 0]


def test_every_toy_letter_has_a_label(spoken: list[Utterance]) -> None:
    said = {phone for u in spoken for phone in u.phones}
    assert said <= set(LETTERS)
    assert len(set(LETTERS)) == len(LETTERS)


# ---- cache --------------------------------------------------------------------------------------


def test_arrays_have_as_many_rows_as_positions_ask_for(cache: Cache) -> None:
    rates = {"wave16": POSITION_SAMPLES, "mel24": 4, "letters": 4}
    assert cache.positions == sum(entry.length for entry in cache.entries)
    for name, rate in rates.items():
        assert len(cache.array(name)) == rate * cache.positions, name
    assert not list(cache.root.glob("*.raw"))


def test_utterances_follow_one_another_and_survive_the_index(cache: Cache, shards: Path) -> None:
    said = [u for u, _ in read_shards([shards], ["out-en", "out-zh", "hear"])]
    assert [entry.utterance for entry in cache.entries] == said
    end = 0
    for entry in Cache(cache.root).entries:
        assert entry.start == end
        assert (entry.length - 1) * 1920 < entry.utterance.samples <= entry.length * 1920
        end += entry.length
    first = json.loads((cache.root / "index.jsonl").read_text("utf-8").splitlines()[0])
    assert first["utterance"]["text"] == toy.ENGLISH[0]


def test_the_sound_of_an_entry_is_its_own(cache: Cache, shards: Path) -> None:
    for entry, (_, samples) in zip(
        cache.entries, read_shards([shards], ["out-en", "out-zh", "hear"]), strict=True
    ):
        heard = cache.waveform(entry)
        assert len(heard) == POSITION_SAMPLES * entry.length
        loud = float(np.sqrt(np.mean((samples / 32768.0) ** 2)))
        # What is padded at the end is silent.
        share = len(samples) / (1920 * entry.length)
        assert np.sqrt(np.mean(heard**2)) == pytest.approx(loud * share**0.5, rel=0.05)


def test_letters_and_mel_say_the_same_of_each_moment(cache: Cache) -> None:
    entry = cache.entries[0]
    letters = cache.array("letters")[entry.rows(4)]
    assert letters.tolist() == frame_letters(entry.utterance, len(letters), FRAME_SAMPLES)
    loudness = np.exp(cache.array("mel24")[entry.rows(4)].astype(np.float32)).sum(1)
    loudness = np.minimum(loudness, np.median(loudness))  # spoken or not, whatever the pitch
    loudness -= loudness.mean()
    agreement = [float(loudness @ np.roll(letters > 0, shift)) for shift in (-4, -2, 0, 2, 4)]
    assert max(agreement) == agreement[2] > 0
