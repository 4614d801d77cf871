"""Streaming detokenization against the reference: every length, mel, waveform and bookkeeping."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kimi_demo.model.detokenizer.chunking import Chunk, Chunker
from kimi_demo.model.detokenizer.config import StreamingConfig
from kimi_demo.model.detokenizer.loading import load_flow, load_vocoder
from kimi_demo.model.detokenizer.mel_stream import MelStream
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.detokenizer.waveform import WaveformAssembler

MEL_TOLERANCE = 2e-3
WAVEFORM_TOLERANCE = 5e-5


class NoiseBank:
    """The reference's noise: rows of a bank in order, from the start for each sequence."""

    def __init__(self, bank: Tensor) -> None:
        self.bank = bank
        self.draws: list[list[int]] = []  # [rows drawn before, rows drawn]

    def __call__(self, frames: int) -> Tensor:
        before = sum(self.draws[-1]) if self.draws else 0
        self.draws.append([before, frames])
        return self.bank[(before + torch.arange(frames)) % len(self.bank)]


@pytest.fixture(scope="module")
def detokenizer(parity_dir: Path) -> StreamingDetokenizer:
    folder = parity_dir / "audio_detokenizer"
    return StreamingDetokenizer(
        load_flow(folder),
        load_vocoder(parity_dir / "vocoder"),
        StreamingConfig.from_yaml(folder / "config.yaml").with_reference_behaviour(),
    )


@pytest.fixture(scope="module")
def records(parity_dir: Path) -> dict[str, Any]:
    return json.loads((parity_dir / "audio_detokenizer" / "streaming.json").read_text())


@pytest.fixture(scope="module")
def golden(parity_dir: Path) -> dict[str, Tensor]:
    return load_file(parity_dir / "audio_detokenizer" / "streaming.safetensors")


@pytest.fixture(scope="module")
def bank(parity_dir: Path) -> Tensor:
    return load_file(parity_dir / "audio_detokenizer" / "noise_bank.safetensors")["noise_bank"]


def cases_of(records: dict[str, Any]) -> list[str]:
    names = [name for name in records if re.fullmatch(r"n\d+", name)]
    assert names
    return sorted(names, key=lambda name: records[name]["num_tokens"])


def assert_near(actual: Tensor, expected: Tensor, tolerance: float, case: str) -> None:
    torch.testing.assert_close(
        actual, expected, atol=tolerance, rtol=0, msg=lambda found: f"{case}: {found}"
    )


class Recorder:
    """Runs the parts that a stream is made of and writes down what the reference wrote down."""

    def __init__(
        self, detokenizer: StreamingDetokenizer, noise: NoiseBank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.mel_stream = MelStream(detokenizer.flow, detokenizer.config, noise)
        self.assembler = WaveformAssembler(detokenizer.vocoder, detokenizer.config)
        self.config = detokenizer.config
        self.hop = detokenizer.vocoder.config.hop_size
        self.attended = 0
        self.mel: list[Tensor] = []
        self.waveform: list[np.ndarray] = []
        extend = self.mel_stream.cache.extend

        def watched(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            all_keys, all_values = extend(layer, keys, values)
            self.attended = all_keys.shape[2]
            return all_keys, all_values

        monkeypatch.setattr(self.mel_stream.cache, "extend", watched)

    def run(self, chunk: Chunk) -> dict[str, Any]:
        start = self.mel_stream.position
        self.mel.append(self.mel_stream.generate(chunk))
        with torch.inference_mode():
            self.waveform.append(self.assembler.push(self.mel[-1], chunk.is_final))
        return {
            "start_position_id": start,
            "frames_in": len(chunk.tokens) * self.config.frames_per_token,
            "look_ahead_frames": chunk.look_ahead * self.config.frames_per_token,
            "mel_frames_out": len(self.mel[-1]),
            "attended_keys_last_call": self.attended,
            "wav_samples_out": len(self.waveform[-1]),
            "kv_cache_frames_after": self.mel_stream.cache.stored(0),
            "next_start_position_id": self.mel_stream.position,
            "pre_wav_samples_kept": self.assembler.held_frames * self.hop,
            "pre_mel_frames_kept": self.assembler.held_frames,
            "is_final": chunk.is_final,
        }


def chunks_of(tokens: list[int], config: StreamingConfig) -> list[Chunk]:
    chunker = Chunker(config)
    chunks = list(chunker.push(tokens))
    final = chunker.flush()
    assert final is not None
    return [*chunks, final]


@pytest.mark.slow
def test_every_length(
    detokenizer: StreamingDetokenizer,
    records: dict[str, Any],
    golden: dict[str, Tensor],
    bank: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for case in cases_of(records):
        record, noise = records[case], NoiseBank(bank)
        recorder = Recorder(detokenizer, noise, monkeypatch)
        chunks = chunks_of(golden[f"{case}.tokens"].tolist(), detokenizer.config)
        assert [recorder.run(chunk) for chunk in chunks] == record["chunks"], case
        assert noise.draws == record["noise_draws_offset_rows"], case

        mel = torch.cat(recorder.mel)
        waveform = torch.from_numpy(np.concatenate(recorder.waveform))
        assert len(mel) == record["mel_frames"], case
        assert len(waveform) == record["wav_samples"], case
        stored_mel, stored = mel[:: record["mel_stride_stored"]], record["wav_stride_stored"]
        assert_near(stored_mel, golden[f"{case}.mel"], MEL_TOLERANCE, case)
        assert_near(waveform[::stored], golden[f"{case}.wav"], WAVEFORM_TOLERANCE, case)


def test_public_interface_gives_the_same_waveform(
    detokenizer: StreamingDetokenizer,
    records: dict[str, Any],
    golden: dict[str, Tensor],
    bank: Tensor,
) -> None:
    for case in cases_of(records)[:4]:  # the longer ones differ in nothing but length
        tokens = golden[f"{case}.tokens"].tolist()
        waveform = torch.from_numpy(detokenizer.detokenize(tokens, NoiseBank(bank)))
        stored = records[case]["wav_stride_stored"]
        assert_near(waveform[::stored], golden[f"{case}.wav"], WAVEFORM_TOLERANCE, case)


def test_some_case_passes_the_position_limit(records: dict[str, Any]) -> None:
    """Otherwise nothing here would look at the restart."""
    starts = [
        [chunk["start_position_id"] for chunk in records[case]["chunks"]]
        for case in cases_of(records)
    ]
    assert any(sequence != sorted(sequence) for sequence in starts)
