"""Evaluation: its figures on made-up sounds and sentences, and the whole with a scripted engine."""

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import AudioDelta, Finished, TextDelta, Timings
from kimi_demo.nano import measures
from kimi_demo.nano.domain import read_held_out
from kimi_demo.nano.evaluate import evaluate_hearing, evaluate_speech
from kimi_demo.nano.recognizer import prepared

RATE = 24_000


def tone(seconds, level=0.5, silence_s=0.0):
    wave = level * np.sin(np.arange(round(seconds * RATE)) / 10)
    padded = np.pad(wave, (0, round(silence_s * RATE)))
    return Audio(padded.astype(np.float32), RATE)


def test_error_rates_ignore_case_and_punctuation_alone():
    rates = measures.error_rates(["It's ten O'Clock, now!", "yes."], ["its ten oclock now", "yes"])
    assert rates == {"wer": 0.0, "cer": 0.0}
    assert measures.error_rates(["one two three four"], ["one too four"])["wer"] == 0.5
    assert measures.error_rates(["one two", "three"], ["", "three"])["wer"] == pytest.approx(0.6667)


def test_a_missed_end_needs_speech_not_silence():
    assert measures.speech_end_s(tone(1.0, silence_s=2.0)) == pytest.approx(1.0, abs=0.03)
    assert measures.speech_end_s(tone(1.0, level=0.0)) == 0.0
    assert measures.speech_end_s(Audio(np.zeros(0, np.float32), RATE)) == 0.0
    original = tone(2.0, silence_s=0.1)
    assert measures.runs_on(tone(3.0), original)
    assert not measures.runs_on(tone(2.0, silence_s=3.0), original)
    assert not measures.runs_on(tone(2.4), original)


def test_clipping_is_a_share_of_samples():
    assert measures.clipped_share(np.array([0.0, 1.0, -1.0, 0.5])) == 0.5
    assert measures.clipped_share(np.zeros(0)) == 0.0


def test_spread():
    assert measures.spread([]) is None
    assert measures.spread(range(11)) == {"p10": 1.0, "median": 5.0, "p90": 9.0}


def test_the_recogniser_hears_every_sound_at_one_level():
    loud, quiet = prepared(tone(1.0, 0.9)), prepared(tone(1.0, 0.01))
    assert np.abs(loud).max() == pytest.approx(0.7, abs=1e-4)
    assert np.abs(loud - quiet).max() < 0.01
    assert len(loud) == pytest.approx(16_000 + 2 * 3_200, abs=10)
    assert prepared(Audio(np.zeros(0, np.float32), RATE)).tolist() == [0.0] * 6_400


def scripted(answer_to):
    return ScriptedEngine(answer_to, Capabilities("nano", "", "cpu", 0, RATE))


def test_speech_figures_describe_the_sounds(tmp_path):
    def answer_to(request):
        audio_s = 3.0 if "babble" in request.messages[0].parts[0].text else 1.0
        timings = Timings(None, 0.1 * audio_s, 0.5, audio_s)
        delta = AudioDelta(tone(audio_s, level=1.0).waveform, RATE)
        return [delta, Finished("stop" if audio_s == 1.0 else "length", 1, 0, 12, timings)]

    texts = ["plain one", "babble two"]
    engine = scripted(answer_to)
    figures = evaluate_speech(engine, texts, lambda _: tone(1.0), seed=4, keep=tmp_path)
    assert figures["wer"] >= 1.0  # a tone holds no word
    assert figures["original_wer"] >= 1.0
    assert figures["length_ratio"]["mean"] == 2.0
    assert figures["run_on_share"] == figures["unfinished_share"] == 0.5
    assert figures["silent_share"] == 0.0
    assert 0.01 < figures["clipped_share"] < 0.1
    assert figures["first_sound_s"]["median"] == pytest.approx(0.2)
    assert figures["rtf"]["median"] == pytest.approx((0.5 + 0.5 / 3) / 2, abs=1e-3)
    assert {request.seed for request in engine.requests} == {4}
    assert {path.name for path in tmp_path.iterdir()} == {"1.wav", "2.wav", "heard.tsv"}


def test_without_the_original_voice_nothing_is_compared():
    def answer_to(_):
        return [Finished("stop", 1, 0, 0, Timings(None, None, 0.1, 0.0))]

    figures = evaluate_speech(scripted(answer_to), ["hello"], None, seed=0, keep=None)
    assert figures["original_wer"] is figures["length_ratio"] is None
    assert (figures["wer"], figures["silent_share"]) == (1.0, 1.0)
    assert figures["rtf"] is None


def test_hearing_is_judged_voice_by_voice():
    def answer_to(request):
        heard = request.messages[0].parts[1].audio
        text = "good morning" if heard.duration_s < 1.5 else "good evening"
        return [TextDelta(text), Finished("stop", 1, 2, 0, Timings(0.1, None, 0.1, 0.0))]

    voices = {"short": lambda _: tone(1.0), "long": lambda _: tone(2.0)}
    figures = evaluate_hearing(scripted(answer_to), ["Good morning."], voices)
    assert figures["short"]["wer"] == 0.0
    assert figures["long"]["wer"] == 0.5


def test_the_held_out_sentences_are_many_and_different():
    texts = read_held_out()
    assert len({measures.plain_words(text) for text in texts}) == len(texts) >= 60
