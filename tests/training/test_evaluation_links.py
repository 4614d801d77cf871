"""Copies of a sound through the vocoder and through codes, with tiny random weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.checkpoint.loading import load_speech_tokenizer
from kimi_demo.model.detokenizer.loading import load_detokenizer
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from training.evaluation import links, speed
from training.evaluation.links import through_codes, through_vocoder

GOLDEN = Path(__file__).parents[1] / "parity" / "data"


@pytest.fixture(scope="module")
def detokenizer() -> StreamingDetokenizer:
    folders = GOLDEN / "audio_detokenizer", GOLDEN / "vocoder"
    return load_detokenizer(*folders, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def tokenizer() -> SpeechTokenizer:
    return load_speech_tokenizer(GOLDEN / "semantic_tokenizer", torch.device("cpu"))


@pytest.fixture
def sound() -> Audio:
    noise = np.random.default_rng(0).normal(0, 0.1, 4_800)
    return Audio(noise.astype(np.float32), 16_000)


def test_a_copy_by_the_vocoder_lasts_as_long_as_its_frames(
    detokenizer: StreamingDetokenizer, sound: Audio
) -> None:
    copy = through_vocoder(sound, detokenizer.vocoder)
    hop = detokenizer.vocoder.config.hop_size
    assert copy.sample_rate == detokenizer.sample_rate_hz
    assert len(copy.waveform) == len(sound.resampled(copy.sample_rate).waveform) // hop * hop
    assert np.isfinite(copy.waveform).all()


def test_a_copy_through_codes_lasts_as_long_as_its_codes(
    tokenizer: SpeechTokenizer, detokenizer: StreamingDetokenizer, sound: Audio
) -> None:
    copy = through_codes(sound, tokenizer, detokenizer)
    codes = tokenizer.encode(sound.waveform)
    assert len(copy.waveform) == len(codes) * detokenizer.samples_per_token
    assert np.array_equal(copy.waveform, detokenizer.detokenize(codes, 0))


def test_every_link_is_judged_on_the_output_voice(
    monkeypatch: pytest.MonkeyPatch,
    tokenizer: SpeechTokenizer,
    detokenizer: StreamingDetokenizer,
    sound: Audio,
) -> None:
    parts = SimpleNamespace(speech_tokenizer=tokenizer, detokenizer=detokenizer)
    monkeypatch.setattr(links, "load_parts", lambda name: parts)
    asked: list[tuple[str, str, str]] = []

    def said(text: str, language: str, voice: str) -> Audio:
        asked.append((text, language, voice))
        return sound

    def judge(heard: Audio, language: str) -> str:
        return "good morning" if heard is sound else "good evening"

    bench = SimpleNamespace(
        checkpoint="toy", limit=1, judge=judge, voices=SimpleNamespace(said=said)
    )
    figures = links.copying("en", lambda count: ["Good morning."] * count)(bench)
    assert asked == [("Good morning.", "en", "af_heart")]
    values = {link: figure.value for link, figure in figures.items()}
    assert values == {"original": 0.0, "vocoder": 0.5, "codes": 0.5}


def test_hearing_costs_the_seconds_of_a_core(
    monkeypatch: pytest.MonkeyPatch, tokenizer: SpeechTokenizer, sound: Audio
) -> None:
    acoustic = SimpleNamespace(encode=tokenizer.encode)
    parts = SimpleNamespace(speech_tokenizer=tokenizer, acoustic_encoder=acoustic)
    monkeypatch.setattr(speed, "load_parts", lambda name: parts)
    monkeypatch.setattr(speed, "_questions", lambda _: [sound] * 4)
    figure = speed.hearing(SimpleNamespace(checkpoint="toy"))["heard"]
    assert 0.0 < figure.value < 10.0
    assert figure.count == 3
