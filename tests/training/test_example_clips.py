"""The clips that the page offers are those that the command makes, and what they ask is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from kimi_demo.text import spoken
from training import sizes
from training.example_clips import DRAWN, SPOKEN, VOICES, Drawn, drawn
from training.texts.dialogue import recorded_questions, talk_of
from training.texts.spoken import as_spoken

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIPS = EXAMPLES / "audio"
STEP = 1 / 32768  # of 16-bit sound


def test_the_clips_are_those_of_the_command():
    names = [clip.name for clip in (*SPOKEN, *DRAWN)]
    assert sorted(path.stem for path in CLIPS.glob("*.wav")) == sorted(names)
    said = {path.stem: path.read_text(encoding="utf-8").strip() for path in CLIPS.glob("*.txt")}
    assert said == {clip.name: clip.text for clip in SPOKEN}


def test_nobody_speaks_with_the_checkpoints_own_voice():
    assert not {c.voice for c in (*SPOKEN, *VOICES)} & set(sizes.OUTPUT_VOICES.values())
    languages = {"a": "en", "b": "en", "z": "zh"}
    assert all(languages[clip.voice[0]] == clip.language for clip in (*SPOKEN, *VOICES))


@pytest.mark.parametrize(
    "clip", [c for c in DRAWN if c.kind not in ("speech", "emotion")], ids=lambda clip: clip.name
)
def test_a_sound_is_made_as_it_lies_there(clip: Drawn):
    kept, rate = soundfile.read(CLIPS / f"{clip.name}.wav", dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(kept, drawn(clip, None), atol=2 * STEP)


def test_a_seed_that_brings_another_sound_is_refused():
    clip = next(clip for clip in DRAWN if clip.name == "beeps-three")
    wrong = Drawn(clip.name, clip.kind, clip.seed, "A device beeps twice.")
    with pytest.raises(ValueError, match=r"beeps-three: seed .* three times"):
        drawn(wrong, None)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_questions_but_one_have_an_answer_in_the_small_world(language: str, small_texts: None):
    """The other one shows what it says when it does not know."""
    typed = (EXAMPLES / f"questions.{language}.txt").read_text(encoding="utf-8").splitlines()
    found = [recorded_questions(language, [as_spoken(text, language)]) for text in typed]
    *known, unknown = zip(typed, found, strict=True)
    assert all(exchange for _, exchange in known), known
    assert not unknown[1]
    beyond = [b for b in talk_of(language).branches if b.topic == "unknown"]
    asked = {wording.strip("?.!？。！").lower() for b in beyond for wording in b.wordings}
    assert unknown[0].strip("?.!？。！").lower() in asked


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_read_aloud_can_be_read_by_people(language: str):
    lines = (EXAMPLES / f"speech.{language}.txt").read_text(encoding="utf-8").splitlines()
    said = [spoken(line) for line in lines]
    assert sum(text != line for text, line in zip(said, lines, strict=True)) >= 3
    assert not any(character.isdigit() for text in said for character in text)
