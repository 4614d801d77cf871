"""How much silence the acoustic encoder hears after a sound: a setting of the checkpoint."""

import json

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper import modeling_whisper

from kimi_demo.errors import CheckpointError
from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.whisper import EncoderLayer, WhisperEncoder, sinusoids

RATE, POSITION = 16_000, 1280
WINDOW_POSITIONS = 25
WINDOW = WINDOW_POSITIONS * POSITION  # 2 s
WIDTH = 16


def config(**values):
    return WhisperConfig(
        d_model=WIDTH,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        num_mel_bins=20,
        max_source_positions=4 * WINDOW_POSITIONS,
        attn_implementation="sdpa",
        **values,
    )


def encoder(**values):
    """Always the same weights."""
    torch.manual_seed(0)
    extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=2)
    return AcousticEncoder(WhisperEncoder(config(**values)), extractor)


def sound(num_samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


@pytest.mark.parametrize("pad", [{}, {"pad_seconds": 0}, {"pad_seconds": 0.5}])
@pytest.mark.parametrize("samples", [1, POSITION, POSITION + 1, WINDOW, WINDOW + 1, 3 * WINDOW])
def test_every_position_of_the_sound_and_none_of_the_silence_is_kept(pad, samples):
    features = encoder(**pad).encode(sound(samples))
    assert features.shape == (-(-samples // POSITION), 4 * WIDTH)
    assert features.isfinite().all()


@pytest.mark.parametrize(
    ("pad", "samples", "positions"),
    [
        ({}, 1, WINDOW_POSITIONS),  # the reference's rule
        ({"pad_seconds": 0}, 1, 1),
        ({"pad_seconds": 0.5}, POSITION, 8),  # 0.08 s and 0.5 s are 7.25 positions
        ({"pad_seconds": 0.48}, POSITION, 7),
        ({"pad_seconds": 0.48}, POSITION + 1, 8),
        ({"pad_seconds": 0.5}, WINDOW - POSITION, WINDOW_POSITIONS),
        ({"pad_seconds": 90}, POSITION, WINDOW_POSITIONS),
    ],
)
def test_the_window_is_as_long_as_the_sound_and_its_silence(pad, samples, positions):
    acoustic = encoder(**pad)
    assert acoustic.heard_samples(samples) == positions * POSITION
    assert acoustic.features(sound(samples)).shape == (1, 20, positions * 8)


def test_a_sound_that_fills_the_window_is_heard_as_the_reference_hears_it():
    full = sound(WINDOW)
    torch.testing.assert_close(encoder(pad_seconds=0.5).encode(full), encoder().encode(full))
    shorter = full[: WINDOW // 2]
    difference = encoder(pad_seconds=0.5).encode(shorter) - encoder().encode(shorter)
    assert difference.abs().max() > 1e-4


def test_states_are_those_of_the_forward_pass_of_transformers():
    acoustic = encoder()
    twin = modeling_whisper.WhisperEncoder(config()).eval()
    twin.load_state_dict(acoustic.encoder.state_dict())
    mel = torch.cat([acoustic.features(sound(WINDOW, seed)) for seed in range(3)])
    with torch.inference_mode():
        torch.testing.assert_close(acoustic.encoder(mel), twin(mel).last_hidden_state)


def test_a_layer_sees_what_that_of_transformers_sees():
    torch.manual_seed(0)
    theirs = modeling_whisper.WhisperEncoderLayer(config()).eval()
    layer = EncoderLayer(config())
    layer.load_state_dict(theirs.state_dict())
    x, visible = torch.randn(2, 7, WIDTH), torch.rand(2, 1, 7, 7) < 0.5
    visible |= torch.eye(7, dtype=torch.bool)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, visible), theirs(x, visible))


def test_positions_are_those_of_transformers():
    torch.testing.assert_close(
        sinusoids(1500, WIDTH), modeling_whisper.sinusoids(1500, WIDTH), atol=0, rtol=0
    )


def test_sounds_do_not_influence_each_other():
    acoustic = encoder(pad_seconds=0.5)
    mels = [acoustic.features(sound(WINDOW // 2, seed)) for seed in range(3)]
    with torch.inference_mode():
        together = acoustic.encoder(torch.cat(mels))
        alone = torch.cat([acoustic.encoder(mel) for mel in mels])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    whole, rest = sound(WINDOW, 1), sound(WINDOW // 3, 2)
    joined = acoustic.encode(np.concatenate([whole, rest]))
    torch.testing.assert_close(joined, torch.cat([acoustic.encode(whole), acoustic.encode(rest)]))


def test_the_setting_survives_the_file(tmp_path):
    config(pad_seconds=1.0).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["pad_seconds"] == 1.0
    assert AcousticEncoder.build(tmp_path).heard_samples(POSITION) == 14 * POSITION
    config().save_pretrained(tmp_path)
    assert AcousticEncoder.build(tmp_path).heard_samples(POSITION) == WINDOW


@pytest.mark.parametrize("wrong", [-1, True, "1 s", float("inf"), float("nan")])
def test_a_setting_that_is_no_length_is_refused(wrong):
    with pytest.raises(CheckpointError, match="pad_seconds of the acoustic encoder"):
        encoder(pad_seconds=wrong)
