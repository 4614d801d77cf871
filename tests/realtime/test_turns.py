"""When a turn begins and ends, in recordings with silence around them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kimi_demo.audio import INPUT_SAMPLE_RATE as RATE
from kimi_demo.audio import read
from kimi_demo.errors import InputError
from kimi_demo.realtime import smart_turn
from kimi_demo.realtime.turns import (
    FRAME_MS,
    PAUSE_MS,
    WAITS_MS,
    Paused,
    Resumed,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
)
from kimi_demo.wire.realtime import SemanticVad, ServerVad
from tests.voice import silence

CLIPS = Path(__file__).parents[2] / "examples" / "audio"
VOICES = sorted(
    path.stem for kind in ("question", "speech", "voice") for path in CLIPS.glob(f"{kind}-*.wav")
)
SILENT_S = 1.0
TOLERANCE_MS = 100
LOUD = 0.03  # of the peak: what speech exceeds from its first to its last sound
# Said to their ends, and the shares of them after which they are cut off inside a phrase.
SENTENCES = {"speech-bridge-en": 0.6, "speech-departure-en": 0.6, "speech-library-en": 0.75}
COMPLETE = 0.5


def spoken(name: str) -> np.ndarray:
    """(T,) float32, without the silence at both ends."""
    waveform = read(CLIPS / f"{name}.wav", sample_rate=RATE).waveform
    loud = np.flatnonzero(np.abs(waveform) > LOUD * np.abs(waveform).max())
    return waveform[loud[0] : loud[-1] + 1]


def found_in(detector: TurnDetector, sound: np.ndarray, piece_s: float = 0.1):
    """All detections in a sound that comes in pieces."""
    step = round(piece_s * RATE)
    return [
        found
        for start in range(0, len(sound), step)
        for found in detector.push(sound[start : start + step])
    ]


def kinds(found):
    return [type(one) for one in found]


@pytest.mark.parametrize("name", VOICES)
def test_a_turn_begins_and_ends_where_its_speech_does(name):
    speech = spoken(name)
    found = found_in(
        TurnDetector(ServerVad()), np.concatenate([silence(SILENT_S), speech, silence(SILENT_S)])
    )
    start, stop = found[0], found[-1]
    assert isinstance(start, SpeechStarted)
    assert isinstance(stop, SpeechStopped)
    assert sum(isinstance(one, SpeechStarted) for one in found) == 1
    end_ms = SILENT_S * 1000 + len(speech) * 1000 / RATE
    assert abs(start.start_ms - SILENT_S * 1000) <= TOLERANCE_MS
    assert abs(stop.end_ms - PAUSE_MS - end_ms) <= 2 * TOLERANCE_MS


@pytest.mark.parametrize("piece_s", [0.004, 0.032, 0.1, 60.0])
def test_it_is_the_same_in_whatever_pieces_it_comes(piece_s):
    sound = np.concatenate([silence(0.5), spoken("voice-man-en"), silence(1.0)])
    whole = found_in(TurnDetector(ServerVad()), sound, 0.032)
    assert found_in(TurnDetector(ServerVad()), sound, piece_s) == whole


@pytest.mark.parametrize(("gap_s", "turns"), [(0.35, 1), (1.0, 2)])
def test_a_pause_is_no_end_unless_it_is_long(gap_s, turns):
    parts = [spoken("question-en"), silence(gap_s), spoken("voice-man-en"), silence(SILENT_S)]
    found = kinds(found_in(TurnDetector(ServerVad()), np.concatenate(parts)))
    assert found.count(SpeechStarted) == found.count(SpeechStopped) == turns
    assert found.count(Paused) == found.count(Resumed) + turns
    if turns == 1:
        assert found.count(Resumed) >= 1
    for before, after in pairwise(found):  # each follows what it must
        assert after is not SpeechStopped or before is Paused


@pytest.mark.parametrize(
    ("threshold", "name", "turns"),
    [
        (0.5, "sound-dog", 0),
        (0.5, "scene-street", 1),
        (0.99, "scene-street", 0),
        (0.99, "voice-man-en", 1),
        (0.1, "voice-man-en", 1),
    ],
)
def test_the_threshold_says_what_is_speech(threshold, name, turns):
    clip = read(CLIPS / f"{name}.wav", sample_rate=RATE).waveform
    sound = np.concatenate([silence(0.5), clip, silence(1.5)])
    found = kinds(found_in(TurnDetector(ServerVad(threshold=threshold)), sound))
    assert found.count(SpeechStarted) == found.count(SpeechStopped) == turns


def test_hiss_is_no_speech():
    hiss = np.random.default_rng(0).normal(0, 0.003, 3 * RATE).astype(np.float32)
    assert not found_in(TurnDetector(ServerVad()), hiss)


@pytest.mark.parametrize("silence_ms", [200, 500, 900])
def test_it_waits_for_as_much_silence_as_it_is_told(silence_ms):
    detector = TurnDetector(ServerVad(silence_duration_ms=silence_ms))
    found_in(detector, spoken("voice-man-en"))
    waited_ms = 0
    while SpeechStopped not in kinds(detector.push(silence(FRAME_MS / 1000))):
        waited_ms += FRAME_MS
    assert abs(waited_ms - silence_ms) <= 2 * TOLERANCE_MS


@pytest.mark.parametrize("eagerness", WAITS_MS)
def test_how_complete_a_turn_sounds_says_how_long_to_wait(eagerness):
    for least, wait_ms in WAITS_MS[eagerness]:
        heard = []

        def judge(sound, heard=heard, least=least):
            heard.append(sound)
            return least

        config = SemanticVad(type="semantic_vad", eagerness=eagerness)
        sound = np.concatenate([spoken("question-en"), silence(5.0)])
        other = np.concatenate([spoken("voice-man-en"), silence(4.0)])
        found = found_in(TurnDetector(config, judge), np.concatenate([other, sound]), 60.0)
        ends = [f for f in found if isinstance(f, SpeechStopped)]
        assert len(ends) == 2
        # Neither the turn before nor what comes after the pause.
        expected = len(spoken("question-en")) / RATE + (PAUSE_MS + 500) / 1000
        assert abs(len(heard[-1]) / RATE - expected) < 0.3
        assert wait_ms >= PAUSE_MS


def test_semantic_detection_says_what_it_lacks(monkeypatch):
    monkeypatch.setattr(smart_turn, "PACKAGE", "no_such_package_here")
    smart_turn._smart_turn.cache_clear()
    with pytest.raises(InputError, match="pip install --no-deps 'pipecat-ai"):
        smart_turn.judge_for(SemanticVad(type="semantic_vad"))
    assert smart_turn.judge_for(ServerVad()) is None
    assert smart_turn.judge_for(None) is None


def test_a_finished_turn_sounds_more_complete_than_one_cut_off():
    try:
        smart_turn._smart_turn.cache_clear()
        judge = smart_turn.judge_for(SemanticVad(type="semantic_vad"))
    except InputError as exc:
        pytest.skip(str(exc))
    assert judge
    for name, share in SENTENCES.items():
        speech = spoken(name)
        done, cut = speech, speech[: round(share * len(speech))]
        complete, broken = (
            judge(np.concatenate([s, silence(PAUSE_MS / 1000)])) for s in (done, cut)
        )
        assert broken < COMPLETE < complete, name
