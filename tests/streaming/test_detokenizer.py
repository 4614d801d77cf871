"""Streaming detokenization on a tiny random model: what must hold for every checkpoint."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.cache import FlowCache
from kimi_demo.model.detokenizer.chunking import Chunker
from kimi_demo.model.detokenizer.config import FlowConfig, StreamingConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.mel_stream import MelStream, seeded_noise
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.detokenizer.waveform import WaveformAssembler, fade_weights

FLOW = FlowConfig(
    mel_bins=8, vocabulary_size=20, hidden_size=16, depth=2, num_heads=2, max_positions=400
)
HALF = StreamingConfig(
    chunk_tokens=6,
    first_chunk_tokens=5,
    look_ahead_tokens=2,
    ode_grid_points=4,
    max_cache_frames=40,
)
FIXED = replace(HALF, overlap="fixed", held_frames=3, context_frames=5)
MODES = pytest.mark.parametrize("config", [HALF, FIXED], ids=["half", "fixed"])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small are not worth waking a second thread for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_flow(config: FlowConfig = FLOW) -> FlowTransformer:
    torch.manual_seed(0)
    return FlowTransformer(config).eval()


def random_vocoder() -> Vocoder:
    torch.manual_seed(0)
    config = VocoderConfig(
        upsample_rates=(2, 3),
        upsample_kernel_sizes=(4, 5),
        upsample_initial_channel=8,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),),
        num_mels=FLOW.mel_bins,
        hop_size=6,
    )
    return Vocoder(config).eval()


def detokenizer(config: StreamingConfig) -> StreamingDetokenizer:
    return StreamingDetokenizer(random_flow(), random_vocoder(), config)


def tokens_of(length: int) -> list[int]:
    return [(7 * i + i // 3) % FLOW.vocabulary_size for i in range(length)]


def pushed_in(groups: Sequence[int], parent: StreamingDetokenizer, tokens: list[int]) -> np.ndarray:
    """The waveform if tokens arrive in groups of these sizes, over and over."""
    pieces, begin, turn = [], 0, 0
    with parent.open(3) as stream:
        while begin < len(tokens):
            size = groups[turn % len(groups)]
            pieces += stream.push(tokens[begin : begin + size])
            begin, turn = begin + size, turn + 1
        pieces += stream.flush()
    return np.concatenate(pieces)


@MODES
@pytest.mark.parametrize("length", [5, 6, 23])
def test_sound_does_not_depend_on_how_tokens_arrive(config: StreamingConfig, length: int) -> None:
    parent, tokens = detokenizer(config), tokens_of(length)
    whole = parent.detokenize(tokens, 3)
    for groups in ([1], [2, 0, 13]):
        np.testing.assert_array_equal(pushed_in(groups, parent, tokens), whole)


@MODES
def test_every_token_gets_its_samples(config: StreamingConfig) -> None:
    parent = detokenizer(config)
    assert parent.samples_per_token == 4 * 6
    for length in (1, 2, 5, 6, 7, 11, 12, 25):
        waveform = parent.detokenize(tokens_of(length))
        assert waveform.shape == (length * parent.samples_per_token,)
        assert waveform.dtype == np.float32
        assert np.isfinite(waveform).all()


def test_no_tokens_no_sound() -> None:
    parent = detokenizer(HALF)
    assert parent.detokenize([]).shape == (0,)
    with parent.open() as stream:
        assert stream.push([]) == []
        assert stream.flush() == []


def test_seed_decides() -> None:
    parent, tokens = detokenizer(HALF), tokens_of(9)
    np.testing.assert_array_equal(parent.detokenize(tokens, 1), parent.detokenize(tokens, 1))
    assert np.abs(parent.detokenize(tokens, 1) - parent.detokenize(tokens, 2)).max() > 1e-4


def test_sound_starts_before_the_end() -> None:
    parent = detokenizer(FIXED)
    with parent.open() as stream:
        assert stream.push(tokens_of(FIXED.first_chunk_tokens)) == []
        (piece,) = stream.push([0])
    frames = (FIXED.first_chunk_tokens - FIXED.look_ahead_tokens) * FIXED.frames_per_token
    assert len(piece) == (frames - FIXED.held_frames) * 6


def test_closing_frees_the_cache_and_ends_the_stream() -> None:
    stream = detokenizer(HALF).open()
    stream.push(tokens_of(20))
    assert stream._mel is not None
    keys = weakref.ref(stream._mel.cache.keys)
    stream.close()
    gc.collect()
    assert keys() is None
    stream.close()
    with pytest.raises(ValueError, match="ended"):
        stream.push([1])


def test_flush_ends_the_stream() -> None:
    stream = detokenizer(HALF).open()
    stream.push([1, 2])
    stream.flush()
    with pytest.raises(ValueError, match="ended"):
        stream.flush()


@pytest.mark.parametrize("token", [-1, FLOW.vocabulary_size])
def test_tokens_outside_the_vocabulary_are_refused(token: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        detokenizer(HALF).open().push([0, token])


def test_streams_do_not_disturb_each_other() -> None:
    parent = detokenizer(HALF)
    alone = [parent.detokenize(tokens_of(15), seed) for seed in (1, 2)]
    streams = [parent.open(1), parent.open(2)]
    pieces: list[list[np.ndarray]] = [[], []]
    for token in tokens_of(15):
        for stream, sound in zip(streams, pieces, strict=True):
            sound += stream.push([token])
    for stream, sound, expected in zip(streams, pieces, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(sound + stream.flush()), expected)


# --- the transformer and its cache --------------------------------------------------------------


def evaluate(
    flow: FlowTransformer, cache: FlowCache, frames: Tensor, tokens: Tensor, counts: Sequence[int]
) -> Tensor:
    """One pass that is kept: velocity (B, T, bins) of `frames` (B, T, bins) after the cache's."""
    starts = torch.tensor([cache.stored(slot) for slot in range(len(counts))])
    positions = starts[:, None] + torch.arange(frames.shape[1])
    timesteps = torch.full((len(frames), 1), 300)
    mask = cache.mask(counts, frames.shape[1])
    with torch.inference_mode():
        velocity = flow(frames, tokens, timesteps, positions, cache, mask)
    cache.commit(counts, frames.shape[1])
    return velocity


def test_rows_of_a_batch_are_independent() -> None:
    """Rows of other lengths and fills, and an idle one: each as if it were alone."""
    flow, counts = random_flow(), [12, 4, 0]
    torch.manual_seed(1)
    frames = torch.randn(3, 3, 12, FLOW.mel_bins)  # turns, rows
    tokens = torch.randint(FLOW.vocabulary_size, (3, 3, 3))
    together = FlowCache(FLOW, slots=3, capacity=40, chunk_frames=12)
    velocities = [evaluate(flow, together, frames[i], tokens[i], counts) for i in range(3)]
    for row, count in enumerate(counts[:2]):
        alone = FlowCache(FLOW, slots=1, capacity=40, chunk_frames=12)
        for turn, velocity in enumerate(velocities):
            part = frames[turn, row : row + 1, :count], tokens[turn, row : row + 1, : count // 4]
            expected = evaluate(flow, alone, *part, [count])[0]
            torch.testing.assert_close(velocity[row, :count], expected, atol=1e-5, rtol=0)
    assert torch.isfinite(torch.stack(velocities)).all()


def mel_of(flow: FlowTransformer, config: StreamingConfig, length: int) -> Tensor:
    stream = MelStream(flow, config, seeded_noise(0, FLOW.mel_bins))
    chunker = Chunker(config)
    chunks = [*chunker.push(tokens_of(length)), chunker.flush()]
    return torch.cat([stream.generate(chunk) for chunk in chunks if chunk])


def test_speech_goes_on_past_the_position_limit() -> None:
    """Renumbering positions changes nothing; the reference's restart forgets the past."""
    endless = random_flow(replace(FLOW, max_positions=10_000))
    limited = random_flow(replace(FLOW, max_positions=100))
    expected, length = mel_of(endless, HALF, 120), 120
    torch.testing.assert_close(mel_of(limited, HALF, length), expected, atol=1e-4, rtol=0)
    restarted = mel_of(limited, HALF.with_reference_behaviour(), length)
    assert (restarted - expected).abs().max() > 1e-2


def test_cache_never_grows() -> None:
    stream = MelStream(random_flow(), HALF, seeded_noise(0, FLOW.mel_bins))
    chunker, before = Chunker(HALF), stream.cache.keys.data_ptr()
    for chunk in chunker.push(tokens_of(70)):
        stream.generate(chunk)
        assert stream.cache.stored(0) <= HALF.max_cache_frames
    assert stream.cache.stored(0) == HALF.max_cache_frames
    assert stream.cache.keys.data_ptr() == before


# --- seams --------------------------------------------------------------------------------------


class ShortSightedVocoder(nn.Module):
    """Every frame becomes its own samples: joining chunks of it must change nothing at all."""

    config = SimpleNamespace(hop_size=6, num_mels=FLOW.mel_bins, sampling_rate=24_000)

    def __init__(self) -> None:
        super().__init__()
        self.conv_pre = nn.Conv1d(FLOW.mel_bins, self.config.hop_size, 1)

    def forward(self, mel: Tensor) -> Tensor:
        return self.conv_pre(mel).transpose(1, 2).flatten(1)


def join(
    config: StreamingConfig, mel: Tensor, sizes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(assembled chunk by chunk, vocoded as a whole)."""
    torch.manual_seed(0)
    vocoder = ShortSightedVocoder().requires_grad_(False)
    assembler = WaveformAssembler(vocoder, config)  # type: ignore[arg-type]
    chunks = mel.split(list(sizes))
    pieces = [assembler.push(chunk, i == len(chunks) - 1) for i, chunk in enumerate(chunks)]
    return np.concatenate(pieces), vocoder(mel.T[None])[0].numpy()


@MODES
def test_seams_are_silent(config: StreamingConfig) -> None:
    sizes = [12, 24, 24, 24, 8]
    joined, whole = join(config, torch.randn(sum(sizes), FLOW.mel_bins), sizes)
    np.testing.assert_allclose(joined, whole, atol=1e-6)


def test_reference_seams_are_louder() -> None:
    sizes = [12, 24, 24]
    mel = torch.randn(sum(sizes), FLOW.mel_bins)
    joined, whole = join(HALF.with_reference_behaviour(), mel, sizes)
    seam = slice(6 * 6, 12 * 6)  # what was held back of the first chunk
    np.testing.assert_allclose(joined[seam], 1.08 * whole[seam], rtol=1e-4)


@pytest.mark.parametrize(("crossfade", "gain"), [("equal_gain", 1.0), ("reference", 1.08)])
def test_fade_weights(crossfade: str, gain: float) -> None:
    old, new = fade_weights(480, crossfade)
    np.testing.assert_allclose(old + new, gain, rtol=1e-6)
    assert old[0] > old[-1]
    if crossfade == "equal_gain":
        assert (old[0], new[0]) == (1.0, 0.0)


# --- settings -----------------------------------------------------------------------------------


def test_configuration_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    section = {"chunk_tokens": 16, "first_chunk_tokens": 14, "overlap": "fixed"}
    path.write_text(yaml.safe_dump({**FLOW.to_yaml(), "streaming": section}))
    assert FlowConfig.from_yaml(path) == FLOW
    assert StreamingConfig.from_yaml(path) == StreamingConfig(**section)


def test_release_has_no_streaming_section(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(FLOW.to_yaml()))
    assert StreamingConfig.from_yaml(path) == StreamingConfig()


@pytest.mark.parametrize(
    "section", [{"chunks": 3}, {"chunk_tokens": 12}, {"overlap": "none"}, {"ode_grid_points": 1}]
)
def test_unusable_streaming_settings(tmp_path: Path, section: dict[str, object]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**FLOW.to_yaml(), "streaming": section}))
    with pytest.raises(CheckpointError):
        StreamingConfig.from_yaml(path)


def test_unknown_variants_are_refused(tmp_path: Path) -> None:
    published = FLOW.to_yaml()
    published["model"]["dit"]["ffn_type"] = "gated"
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(published))
    with pytest.raises(CheckpointError, match="ffn_type"):
        FlowConfig.from_yaml(path)
