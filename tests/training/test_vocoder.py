"""The vocoder's training: material that lines up, losses that fall, a result that can be stored."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.mel import log_mel
from training import adversary, sizes, vocoder
from training.adversary import Adversary
from training.shards import cut_tail, read_lines, read_sound
from training.vocoder import TrainableVocoder, spectral_loss, vocoder_losses
from training.vocoder_data import (
    GeneratedPieces,
    MixedPieces,
    NaturalPieces,
    SpeechCache,
    write_speech_cache,
)

pytestmark = pytest.mark.usefixtures("tiny")
UTTERANCES = 5


def chirp(seconds: float, start_hz: float) -> np.ndarray:
    """(N,) int16 at 24 kHz, rising, so that every moment sounds different."""
    time = np.arange(round(seconds * 24_000)) / 24_000
    wave = 0.5 * np.sin(2 * np.pi * (start_hz + 400 * time) * time)
    return (wave * 32767).astype(np.int16)


@pytest.fixture
def config() -> VocoderConfig:
    return sizes.vocoder_config()


@pytest.fixture
def speech(tmp_path: Path) -> SpeechCache:
    waveforms = [chirp(0.7, 200 + 20 * i) for i in range(UTTERANCES)]
    return write_speech_cache(waveforms, tmp_path / "speech")


@pytest.fixture
def generated(tmp_path: Path, speech: SpeechCache, config: VocoderConfig) -> Path:
    """Generated mels that happen to be perfect, of the first utterances."""
    folder = tmp_path / "generated-mels"
    folder.mkdir()
    for i in range(2):
        mel = log_mel(speech.utterance(i), config).numpy().astype(np.float16)
        waveform = speech.samples[slice(*speech.offsets[i : i + 2])]
        np.savez(folder / f"{i}.npz", mel=mel, wav=waveform)
    return folder


# ---- material -----------------------------------------------------------------------------------


def test_a_cache_holds_every_sample_and_keeps_the_last_utterances_apart(
    speech: SpeechCache,
) -> None:
    assert len(speech) == UTTERANCES
    np.testing.assert_array_equal(speech.utterance(1) * 32768, chirp(0.7, 220))
    learned = speech.without_last(2)
    assert len(learned) == UTTERANCES - 2
    assert len(learned.samples) == (UTTERANCES - 2) * 16_800


def test_a_cache_is_filled_once_with_what_the_output_voices_say(
    tmp_path: Path, shards: Path
) -> None:
    filled = vocoder._open_cache(tmp_path, [shards])
    lines = [list(read_lines(shards / f"out-{name}-1-000.jsonl")) for name in ("en", "zh")]
    assert len(filled) == sum(map(len, lines))
    sound = read_sound(shards / "out-en-1-000.opus")
    for index, utterance in enumerate(lines[0][:3]):
        _, samples = cut_tail(utterance, sound)
        np.testing.assert_array_equal(filled.utterance(index) * 32768, samples)
    again = vocoder._open_cache(tmp_path, [tmp_path / "nowhere"])
    assert len(again) == len(filled)


def test_natural_pieces_line_up_with_their_mel(speech: SpeechCache, config: VocoderConfig) -> None:
    torch.manual_seed(0)
    mel, waveform = NaturalPieces(speech, config).draw(3, 20)
    assert mel.shape == (3, config.num_mels, 20)
    assert waveform.shape == (3, 20 * config.hop_size)
    inner = log_mel(waveform, config)[..., 2:-2]
    torch.testing.assert_close(mel[..., 2:-2], inner, atol=1e-4, rtol=0)


def test_generated_pieces_line_up_with_their_waveform(
    generated: Path, config: VocoderConfig
) -> None:
    torch.manual_seed(0)
    mel, waveform = GeneratedPieces(generated, config, 20).draw(3, 20)
    inner = log_mel(waveform, config)[..., 2:-2]
    torch.testing.assert_close(mel[..., 2:-2], inner, atol=1e-2, rtol=0)


def test_generated_mels_that_are_too_short_are_named(
    generated: Path, config: VocoderConfig
) -> None:
    with pytest.raises(FileNotFoundError, match="900 frames"):
        GeneratedPieces(generated, config, 900)


def test_a_mixture_keeps_its_share(
    speech: SpeechCache, generated: Path, config: VocoderConfig
) -> None:
    natural, made = NaturalPieces(speech, config), GeneratedPieces(generated, config, 20)
    for share in (0.0, 0.25, 1.0):
        mel, waveform = MixedPieces(natural, made, share).draw(8, 20)
        assert len(mel) == len(waveform) == 8


# ---- the published form -------------------------------------------------------------------------


def test_the_published_form_computes_the_same(config: VocoderConfig) -> None:
    torch.manual_seed(0)
    module, mel = TrainableVocoder(config, anti_aliased=True), torch.randn(1, 80, 4) * 3 - 5
    with torch.inference_mode():
        torch.testing.assert_close(module.published()(mel), module(mel), atol=1e-5, rtol=0)


def test_training_goes_on_from_the_published_form(config: VocoderConfig) -> None:
    torch.manual_seed(0)
    module, mel = TrainableVocoder(config, anti_aliased=True), torch.randn(1, 80, 4) * 3 - 5
    again = TrainableVocoder.of(module.published())
    assert again.state_dict().keys() == module.state_dict().keys()
    with torch.inference_mode():
        torch.testing.assert_close(again(mel), module(mel), atol=1e-5, rtol=0)
    once = module.published().published_tensors()
    for name, tensor in again.published().published_tensors().items():
        torch.testing.assert_close(tensor, once[name], atol=1e-6, rtol=1e-5)


# ---- losses -------------------------------------------------------------------------------------


def test_the_spectral_loss_knows_the_difference() -> None:
    torch.manual_seed(0)
    true = torch.randn(2, 4800) * 0.1
    assert spectral_loss(true, true) == 0
    assert spectral_loss(true * 1.1, true) < spectral_loss(true * 2.0, true)


def test_an_adversary_learns_to_tell_noise_from_tones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversary, "LEARNING_RATE", 5e-3)
    torch.manual_seed(0)
    true = torch.from_numpy(chirp(0.2, 300) / np.float32(32768)).repeat(2, 1)
    made = torch.randn_like(true) * 0.1
    opponent = Adversary()
    seen_through = [float(opponent.learn(true, made)) for _ in range(15)]
    assert seen_through[-1] < 0.6 * seen_through[0]
    fooled, _ = opponent.losses(true, true)
    caught, differing = opponent.losses(true, made)
    assert caught > fooled
    assert differing > 0


def test_the_vocoders_losses_leave_no_gradient_in_the_adversary(config: VocoderConfig) -> None:
    torch.manual_seed(0)
    module, opponent = TrainableVocoder(config, anti_aliased=False), Adversary()
    true = torch.randn(1, 10 * config.hop_size) * 0.1
    deceiving, matching = opponent.losses(true, module(log_mel(true, config)))
    (deceiving + matching).backward()
    assert all(p.grad is None and p.requires_grad for p in opponent.views.parameters())
    assert all(p.grad is not None for p in module.parameters())


def test_an_adversary_survives_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    true, made = torch.randn(2, 1, 4800) * 0.1
    kept, fresh = Adversary(), Adversary()
    kept.learn(true, made)
    torch.save(kept.state_dict(), tmp_path / "state.pt")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(kept.learn(true, made), fresh.learn(true, made))  # views
    assert torch.equal(kept.learn(true, made), fresh.learn(true, made))  # and optimiser


def test_every_part_of_the_adversarial_loss_is_reported(
    speech: SpeechCache, config: VocoderConfig
) -> None:
    torch.manual_seed(0)
    module = TrainableVocoder(config, anti_aliased=True)
    mel, true = NaturalPieces(speech, config).draw(1, 12)
    values = vocoder_losses(module, (mel, true), config, Adversary())
    weights = {"spectral": 1.0, "mel": vocoder.MEL_WEIGHT}
    weights |= {"deceiving": vocoder.ADVERSARIAL_WEIGHT, "matching": vocoder.MATCHING_WEIGHT}
    expected = sum(weight * values[name] for name, weight in weights.items())
    torch.testing.assert_close(values["loss"].detach(), expected)
    assert values["adversary"] > 0


# ---- the command --------------------------------------------------------------------------------


def test_phases_follow_each_other(tmp_path: Path, speech: SpeechCache, generated: Path) -> None:
    del speech  # written to disk, where the command finds it
    parser = argparse.ArgumentParser()
    vocoder.add_arguments(parser)
    before: list[str] = []
    for phase in vocoder.LEARNING_RATES:
        out = tmp_path / phase
        options = ["--phase", phase, "--steps", "1", "--generated", str(generated)]
        options += ["--cache", str(tmp_path / "speech"), "--out", str(out)]
        vocoder.run(parser.parse_args(options + before))
        before = ["--start-from", str(out)]
        last_line = (out / "train.jsonl").read_text().splitlines()[-1]
        assert json.loads(last_line)["eval_mel"] > 0
    saved = torch.load(tmp_path / "adversarial/checkpoint.pt", weights_only=True)
    assert saved["companions"].keys() == {"adversary"}
    with torch.inference_mode():
        waveform = vocoder.trained_vocoder(tmp_path / "generated")(torch.zeros(1, 80, 2))
    assert waveform.shape == (1, 960)
