"""Where along the chain of speech words are lost: an output voice's original through more and more
of it, heard by the judge.

    original    what the judge makes of the voice itself
    vocoder     mel -> waveform
    codes       semantic tokens -> flow matching -> waveform

What the language model costs is the difference between the last and what the checkpoint says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import torch

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.loading import Checkpoint
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.mel import log_mel
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from training.evaluation.bench import Bench, Measurement
from training.evaluation.rows import Figure
from training.evaluation.scores import Pair, error_rates
from training.sizes import OUTPUT_VOICES

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def load_parts(checkpoint: str) -> Checkpoint:
    """All parts of a checkpoint, on the CPU: the engine's protocol does not give them away."""
    return loading.load(locate.find(checkpoint), Placement.on("cpu"))


def copying(language: str, sentences: Callable[[int], list[str]]) -> Measurement:
    """Error rates after each link. sentences: so many of them."""

    def measure(bench: Bench) -> Mapping[str, Figure]:
        parts = load_parts(bench.checkpoint)
        copies: Mapping[str, Callable[[Audio], Audio]] = {
            "original": lambda sound: sound,
            "vocoder": lambda sound: through_vocoder(sound, parts.detokenizer.vocoder),
            "codes": lambda s: through_codes(s, parts.speech_tokenizer, parts.detokenizer),
        }
        pairs: dict[str, list[Pair]] = {link: [] for link in copies}
        for text in sentences(bench.limit):
            original = bench.voices.said(text, language, OUTPUT_VOICES[language])
            for link, copy in copies.items():
                pairs[link].append((text, bench.judge(copy(original), language)))
                logger.info("%s: %s -> %s", link, *pairs[link][-1])
        return {link: error_rates(found, language) for link, found in pairs.items()}

    return measure


@torch.inference_mode()
def through_vocoder(sound: Audio, vocoder: Vocoder) -> Audio:
    """The sound rebuilt from its own mel spectrogram."""
    rate = vocoder.config.sampling_rate
    waveform = torch.from_numpy(sound.resampled(rate).waveform)
    return Audio(vocoder(log_mel(waveform, vocoder.config)[None]).flatten().numpy(), rate)


def through_codes(
    sound: Audio, tokenizer: SpeechTokenizer, detokenizer: StreamingDetokenizer
) -> Audio:
    """The sound rebuilt from its own semantic tokens."""
    codes = tokenizer.encode(sound.resampled(INPUT_SAMPLE_RATE).waveform)
    waveform = detokenizer.detokenize(codes)
    return Audio(np.asarray(waveform, np.float32), detokenizer.sample_rate_hz)
