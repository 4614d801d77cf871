"""The vocoder's training: material that lines up, losses that fall, a result that can be stored."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kimi_demo.model.mel import log_mel
from training import corpus, shapes, train_vocoder
from training.synthesizers import Utterance
from training.train_vocoder import HELD_OUT, TrainableVocoder, spectral_loss
from training.vocoder_data import (
    GeneratedPieces,
    MixedPieces,
    NaturalPieces,
    SpeechCache,
    write_speech_cache,
)

CONFIG = shapes.vocoder_config()


def chirp(seconds: float, start_hz: float) -> np.ndarray:
    """(N,) int16 at 16 kHz, rising, so that every moment sounds different."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    wave = 0.5 * np.sin(2 * np.pi * (start_hz + 400 * time) * time)
    return (wave * 32767).astype(np.int16)


@pytest.fixture
def cache(tmp_path: Path) -> SpeechCache:
    waveforms = [chirp(0.6, 200 + 20 * i) for i in range(HELD_OUT + 4)]
    return write_speech_cache(waveforms, tmp_path / "cache")


@pytest.fixture
def generated(tmp_path: Path, cache: SpeechCache) -> Path:
    """Generated mels that happen to be perfect, of the cache's first utterances."""
    folder = tmp_path / "generated-mels"
    folder.mkdir()
    for i in range(2):
        waveform = cache.utterance(i)
        mel = log_mel(waveform, CONFIG).numpy().astype(np.float16)
        np.savez(folder / f"{i}.npz", mel=mel, wav=cache.samples[slice(*cache.offsets[i : i + 2])])
    return folder


def test_cache_is_at_the_vocoders_rate(cache: SpeechCache) -> None:
    assert len(cache) == HELD_OUT + 4
    assert len(cache.utterance(1)) == round(0.6 * CONFIG.sampling_rate)
    training = cache.without_last(HELD_OUT)
    assert len(training) == 4
    assert len(training.samples) == 4 * len(cache.utterance(0))


def test_a_cache_is_filled_with_both_output_voices_and_ends_with_what_is_held_out(
    tmp_path: Path,
) -> None:
    for pitch, voice in enumerate(shapes.OUTPUT_VOICES.values()):
        for name, count, level in ((voice, 3, 1000), (f"heldout-{voice}", 9, 2000)):
            waveform = np.full(1600, level + 100 * pitch, np.int16)
            spoken = (Utterance("", waveform, 16_000, ()) for _ in range(count))
            corpus.write_shard(tmp_path / "corpus" / name / "000", name, spoken)
    filled = train_vocoder._open_cache(tmp_path / "cache", tmp_path / "corpus")
    levels = [float(filled.utterance(i).median()) * 32768 for i in range(len(filled))]
    assert levels == pytest.approx([1000] * 3 + [1100] * 3 + [2000] * 6 + [2100] * 6, abs=10)
    assert len(filled.without_last(HELD_OUT)) == 6
    again = train_vocoder._open_cache(tmp_path / "cache", tmp_path / "nowhere")
    assert len(again) == len(filled)


def test_natural_pieces_line_up_with_their_mel(cache: SpeechCache) -> None:
    torch.manual_seed(0)
    mel, waveform = NaturalPieces(cache, CONFIG).draw(3, 20)
    assert mel.shape == (3, CONFIG.num_mels, 20)
    assert waveform.shape == (3, 20 * CONFIG.hop_size)
    inner = log_mel(waveform, CONFIG)[..., 2:-2]
    torch.testing.assert_close(mel[..., 2:-2], inner, atol=1e-4, rtol=0)


def test_generated_pieces_line_up_with_their_waveform(generated: Path) -> None:
    torch.manual_seed(0)
    mel, waveform = GeneratedPieces(generated, CONFIG, 20).draw(3, 20)
    inner = log_mel(waveform, CONFIG)[..., 2:-2]
    torch.testing.assert_close(mel[..., 2:-2], inner, atol=1e-2, rtol=0)


def test_mixture_keeps_its_share(cache: SpeechCache, generated: Path) -> None:
    natural, made = NaturalPieces(cache, CONFIG), GeneratedPieces(generated, CONFIG, 20)
    for share in (0.0, 0.25, 1.0):
        mel, waveform = MixedPieces(natural, made, share).draw(8, 20)
        assert len(mel) == len(waveform) == 8


def test_spectral_loss_knows_the_difference() -> None:
    torch.manual_seed(0)
    true = torch.randn(2, 4800) * 0.1
    assert spectral_loss(true, true) == 0
    assert spectral_loss(true * 1.1, true) < spectral_loss(true * 2.0, true)


def test_published_form_computes_the_same() -> None:
    torch.manual_seed(0)
    module, mel = TrainableVocoder(CONFIG, anti_aliased=True), torch.randn(1, 80, 4) * 3 - 5
    with torch.inference_mode():
        torch.testing.assert_close(module.published()(mel), module(mel), atol=1e-5, rtol=0)


def test_phases_follow_each_other(tmp_path: Path, cache: SpeechCache, generated: Path) -> None:
    del cache  # written to disk, where the command finds it
    parser = argparse.ArgumentParser()
    train_vocoder.add_arguments(parser)
    before: list[str] = []
    for phase in ("plain", "anti-aliased", "generated"):
        out = tmp_path / phase
        options = ["--phase", phase, "--steps", "1", "--generated", str(generated)]
        options += ["--cache", str(tmp_path / "cache"), "--out", str(out)]
        train_vocoder.run(parser.parse_args(options + before))
        before = ["--start-from", str(out)]
        last_line = (out / "train.jsonl").read_text().splitlines()[-1]
        assert json.loads(last_line)["eval_mel"] > 0
    with torch.inference_mode():
        waveform = train_vocoder.trained_vocoder(tmp_path / "generated")(torch.zeros(1, 80, 2))
    assert waveform.shape == (1, 2 * CONFIG.hop_size)
