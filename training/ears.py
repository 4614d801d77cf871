"""The acoustic encoder: that of Whisper base, out of a CTranslate2 folder such as faster-whisper's.

A user with a network may name a hub id ("base"); the folder is then fetched by faster-whisper.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor

from kimi_demo.model.whisper import WhisperEncoder

WIDTH, LAYERS, HEADS, MEL_BINS = 512, 6, 8, 80
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def find_whisper(name: str) -> Path:
    """A folder as it is; anything else is a model size or hub id, fetched by faster-whisper."""
    if Path(name).is_dir():
        return Path(name)
    from faster_whisper import download_model

    return Path(download_model(name))


def config(layers: int = LAYERS, **values: object) -> WhisperConfig:
    """Whisper base's sizes; its decoder, which nobody loads, is kept as small as can be."""
    return WhisperConfig(
        num_mel_bins=MEL_BINS,
        d_model=WIDTH,
        encoder_layers=layers,
        num_hidden_layers=layers,
        encoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH,
        max_source_positions=1500,
        decoder_layers=1,
        decoder_ffn_dim=4,
        decoder_attention_heads=1,
        vocab_size=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
        begin_suppress_tokens=None,
        **values,
    )


def feature_extractor() -> WhisperFeatureExtractor:
    """Log-mel of both encoders: 16 kHz, 10 ms hop, windows of 30 s."""
    return WhisperFeatureExtractor(feature_size=MEL_BINS)


def load_encoder(folder: Path) -> WhisperEncoder:
    """Whisper base's encoder in float32."""
    encoder = WhisperEncoder(config()).eval()
    encoder.load_state_dict(encoder_weights(read_variables(folder / "model.bin")))
    return encoder.requires_grad_(False)


def read_variables(path: Path) -> dict[str, np.ndarray]:
    """The named arrays of a CTranslate2 model file."""
    found: dict[str, np.ndarray] = {}
    with path.open("rb") as file:

        def number(code: str) -> int:
            return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]

        def name() -> str:
            return file.read(number("H"))[:-1].decode()

        number("I"), name(), number("I")  # version, kind and revision
        for _ in range(number("I")):
            key = name()
            shape = [number("I") for _ in range(number("B"))]
            kind = _DTYPES[number("B")]
            found[key] = np.frombuffer(file.read(number("I")), kind).reshape(shape)
    return found


def encoder_weights(variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """CTranslate2's names to those of transformers."""

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(variables[f"encoder/{name}"].astype(np.float32))

    weights = {"embed_positions.weight": tensor("position_encodings/encodings")}
    for kind in ("weight", "bias"):
        weights |= {f"{c}.{kind}": tensor(f"{c}/{kind}") for c in ("conv1", "conv2")}
    weights |= _norm(tensor, "layer_norm", "layer_norm")
    for i in range(LAYERS):
        theirs, ours = f"layer_{i}", f"layers.{i}"
        projections = {"self_attention/linear_1": "self_attn.out_proj"}
        projections |= {"ffn/linear_0": "fc1", "ffn/linear_1": "fc2"}
        for source, target in projections.items():
            weights[f"{ours}.{target}.weight"] = tensor(f"{theirs}/{source}/weight")
            weights[f"{ours}.{target}.bias"] = tensor(f"{theirs}/{source}/bias")
        joined = tensor(f"{theirs}/self_attention/linear_0/weight").chunk(3)
        biases = tensor(f"{theirs}/self_attention/linear_0/bias").chunk(3)
        for part, weight, bias in zip("qkv", joined, biases, strict=True):
            weights[f"{ours}.self_attn.{part}_proj.weight"] = weight
            if part != "k":  # Whisper's keys have no bias
                weights[f"{ours}.self_attn.{part}_proj.bias"] = bias
        weights |= _norm(
            tensor, f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm"
        )
        weights |= _norm(tensor, f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
    return weights


def _norm(tensor, theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": tensor(f"{theirs}/gamma"), f"{ours}.bias": tensor(f"{theirs}/beta")}
