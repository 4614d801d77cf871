"""Speech tokenizer and acoustic encoder against the reference."""

import pytest
import torch

from kimi_demo.checkpoint.loading import load_acoustic_encoder, load_speech_tokenizer


@pytest.fixture(scope="module")
def tokenizer(parity_dir):
    return load_speech_tokenizer(parity_dir / "semantic_tokenizer", torch.device("cpu"))


@pytest.fixture(scope="module")
def acoustic_encoder(parity_dir):
    folder = parity_dir / "whisper-large-v3"
    return load_acoustic_encoder(folder, torch.device("cpu"), torch.float32)


def test_semantic_tokens_of_every_waveform(tokenizer, read_json, read_waveform):
    cases = {k: v for k, v in read_json("semantic_tokenizer/tokens.json").items() if k[0] != "_"}
    assert cases
    for name, case in cases.items():
        waveform = read_waveform(f"{name}.flac")
        assert len(waveform) == case["num_samples"]
        chunks = [len(window) for window in tokenizer.framing.windows(waveform)]
        assert chunks == case["chunks_samples"]
        assert tokenizer.framing.positions(len(waveform)) == case["num_tokens"]
        assert tokenizer.encode(waveform) == case["token_ids"], name


def test_semantic_tokens_of_a_batched_call(tokenizer, read_json, read_waveform):
    batched = read_json("semantic_tokenizer/tokens.json")["_batched_call"]
    names = batched["utterances"]
    windows, owners = [], []
    for name in names:
        for window in tokenizer.framing.windows(read_waveform(f"{name}.flac")):
            windows.append(window)
            owners.append(name)
    ids: dict[str, list[int]] = {name: [] for name in names}
    for name, row in zip(owners, tokenizer.encode_windows(windows), strict=True):
        ids[name] += row
    assert [ids[name] for name in names] == batched["token_ids"]


def test_states_before_quantisation(tokenizer, read_tensors, read_waveform):
    reference = read_tensors("semantic_tokenizer/reference.safetensors")
    suffix = ".pre_quant_hidden"
    names = [k.removesuffix(suffix) for k in reference if k.endswith(suffix)]
    assert names
    for name in names:
        rows = []
        for window in tokenizer.framing.windows(read_waveform(f"{name}.flac")):
            with torch.inference_mode():
                states = tokenizer.encoder(*tokenizer.features([window]))
            rows.append(states[0, : tokenizer.framing.positions(len(window))])
        torch.testing.assert_close(
            torch.cat(rows), reference[f"{name}.pre_quant_hidden"], atol=1e-4, rtol=0
        )


def test_tokenizer_features(tokenizer, read_tensors, read_waveform):
    reference = read_tensors("semantic_tokenizer/reference.safetensors")
    names = [k.removesuffix(".input_features") for k in reference if k.endswith("input_features")]
    assert names
    for name in names:
        mel, mask = tokenizer.features([read_waveform(f"{name}.flac")])
        torch.testing.assert_close(mel[0], reference[f"{name}.input_features"], atol=1e-4, rtol=0)
        assert torch.equal(mask[0].long(), reference[f"{name}.attention_mask"].long())


def test_acoustic_features(acoustic_encoder, read_tensors, read_json, read_waveform):
    reference = read_tensors("whisper-large-v3/reference.safetensors")
    shapes = {k: v for k, v in read_json("whisper-large-v3/reference.json").items() if k[0] != "_"}
    assert shapes
    for name, shape in shapes.items():
        features = acoustic_encoder.encode(read_waveform(f"{name}.flac"))
        assert features.shape == (shape["rows"], shape["dim"])
        torch.testing.assert_close(features, reference[f"{name}.features"], atol=1e-4, rtol=0)


def test_log_mel(acoustic_encoder, read_tensors, read_waveform):
    suffix = ".log_mel_first_100_frames"
    reference = read_tensors("whisper-large-v3/reference.safetensors")
    names = [k.removesuffix(suffix) for k in reference if k.endswith(suffix)]
    assert names
    for name in names:
        mel = acoustic_encoder.features(read_waveform(f"{name}.flac"))[0, :, :100]
        torch.testing.assert_close(mel, reference[name + suffix], atol=1e-4, rtol=0)


def test_codes_and_features_count_alike(tokenizer, acoustic_encoder):
    for num_samples in (1, 159, 160, 1279, 1280, 1281, 16_000, 479_999, 480_000, 480_001):
        expected = tokenizer.framing.positions(num_samples)
        assert expected == acoustic_encoder.framing.positions(num_samples)
