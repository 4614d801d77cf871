"""Semantic tokens in, waveform out, while the tokens are still being generated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from kimi_demo.errors import CheckpointError
from kimi_demo.model.detokenizer.chunking import Chunk, Chunker
from kimi_demo.model.detokenizer.config import StreamingConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.mel_stream import (
    MelStream,
    NoiseSource,
    generate_together,
    seeded_noise,
)
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.waveform import WaveformAssembler, vocode

# Tokens, those of them that come again in the next chunk, whether there is none.
ChunkShape = tuple[int, int, bool]


class StreamingDetokenizer:
    """The weights and settings that all streams share."""

    def __init__(self, flow: FlowTransformer, vocoder: Vocoder, config: StreamingConfig) -> None:
        """Raises CheckpointError if the parts do not fit together."""
        if flow.config.mel_bins != vocoder.config.num_mels:
            raise CheckpointError(
                f"flow matching makes {flow.config.mel_bins} mel bands, "
                f"the vocoder takes {vocoder.config.num_mels}"
            )
        if config.max_cache_frames + config.max_chunk_frames > flow.config.max_positions:
            raise CheckpointError("detokenizer: cache and chunk exceed the model's positions")
        self.flow = flow.eval()
        self.vocoder = vocoder.eval()
        self.config = config

    @property
    def sample_rate_hz(self) -> int:
        return self.vocoder.config.sampling_rate

    @property
    def samples_per_token(self) -> int:
        return self.config.frames_per_token * self.vocoder.config.hop_size

    def open(self, noise: int | NoiseSource = 0) -> DetokenizerStream:
        """Starts a stream; `noise` is a seed or a source of one's own."""
        if isinstance(noise, int):
            noise = seeded_noise(noise, self.flow.config.mel_bins)
        return DetokenizerStream(self, noise)

    def detokenize(self, tokens: Sequence[int], noise: int | NoiseSource = 0) -> np.ndarray:
        """The whole waveform (samples_per_token * len(tokens),), float32 in [-1, 1]."""
        with self.open(noise) as stream:
            pieces = stream.push(tokens) + stream.flush()
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)


class DetokenizerStream:
    """One utterance. Its memory is bounded, and its sound depends on its tokens and noise alone.

    A context manager: leaving it frees the cache, which in the release is about 160 MB in bfloat16.
    """

    def __init__(self, parent: StreamingDetokenizer, noise: NoiseSource) -> None:
        self._vocabulary_size = parent.flow.config.vocabulary_size
        self._chunker = Chunker(parent.config)
        self._chunks: deque[Chunk] = deque()
        self._vocoder = parent.vocoder
        self._mel: MelStream | None = MelStream(parent.flow, parent.config, noise)
        self._assembler = WaveformAssembler(parent.vocoder, parent.config)

    def push(self, tokens: Sequence[int]) -> list[np.ndarray]:
        """Takes the next tokens; returns the waveform pieces (S,) float32 that they complete.

        Raises: ValueError for a token outside the vocabulary or a stream that has ended.
        """
        self.add(tokens)
        return [self.sound() for _ in range(len(self._chunks))]

    def flush(self) -> list[np.ndarray]:
        """Ends the stream; returns what is left, nothing if no token ever came."""
        self.finish()
        pieces = [self.sound() for _ in range(len(self._chunks))]
        self.close()
        return pieces

    def add(self, tokens: Sequence[int]) -> None:
        """Takes the next tokens without computing. Raises: ValueError, see `push`."""
        self._require_open()
        for token in tokens:
            if not 0 <= token < self._vocabulary_size:
                raise ValueError(
                    f"semantic token {token} is outside 0..{self._vocabulary_size - 1}"
                )
        self._chunks.extend(self._chunker.push(tokens))

    def finish(self) -> None:
        """No token will come any more."""
        self._require_open()
        final = self._chunker.flush()
        self._chunks.extend([final] if final else [])

    @property
    def has_work(self) -> bool:
        """Whether a chunk is complete and not computed."""
        return bool(self._chunks)

    @property
    def shape(self) -> ChunkShape:
        """Of the next chunk; streams that agree in it can be computed together."""
        chunk = self._chunks[0]
        return len(chunk.tokens), chunk.look_ahead, chunk.is_final

    def sound(self, is_wanted: Callable[[], bool] = lambda: True) -> np.ndarray:
        """Computes the next chunk; see `sound_together`."""
        return sound_together([self], is_wanted)[0]

    def close(self) -> None:
        """Frees the stream's memory; unfinished sound is lost. May be called twice."""
        self._mel = None
        self._assembler.reset()

    def __enter__(self) -> DetokenizerStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _require_open(self) -> MelStream:
        if self._mel is None:
            raise ValueError("this detokenizer stream has ended")
        return self._mel


@torch.inference_mode()
def sound_together(
    streams: Sequence[DetokenizerStream], is_wanted: Callable[[], bool] = lambda: True
) -> list[np.ndarray]:
    """Computes the next chunk of each stream, all of one `shape`: (S,) float32 each, empty if they
    are given up because `is_wanted`, which is asked before each evaluation of the flow, says no.
    """
    mel_streams = [stream._require_open() for stream in streams]
    chunks = [stream._chunks.popleft() for stream in streams]
    mels = generate_together(mel_streams, chunks, is_wanted)
    if not mels:
        return [np.zeros(0, np.float32) for _ in streams]
    joined = [stream._assembler.join(mel) for stream, mel in zip(streams, mels, strict=True)]
    waveforms = _vocoded(streams[0]._vocoder, joined)
    rows = zip(streams, chunks, mels, joined, waveforms, strict=True)
    return [s._assembler.take(mel, j, w, chunk.is_final) for s, chunk, mel, j, w in rows]


def _vocoded(vocoder: Vocoder, mels: Sequence[Tensor]) -> list[np.ndarray]:
    """Those of one length in one call."""
    found: dict[int, np.ndarray] = {}
    for length in {len(mel) for mel in mels}:
        rows = [row for row, mel in enumerate(mels) if len(mel) == length]
        waveforms = vocode(vocoder, torch.stack([mels[row] for row in rows]))
        found |= dict(zip(rows, waveforms, strict=True))
    return [found[row] for row in range(len(mels))]
