"""Which link of speech loses the words: the original voice through ever more of the chain.

    original                                       what the recogniser makes of the voice itself
    vocoder        mel -> waveform                 what the vocoder costs
    codes          codes -> mel -> waveform        what semantic tokens and flow matching cost

What the language model costs is the difference between `codes` and the checkpoint's own speech.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.mel import log_mel
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from training import measures
from training.features import upsampled
from training.recognizer import Recognizer

Copy = Callable[[Audio], Audio]


def evaluate_links(
    tokenizer: SpeechTokenizer,
    detokenizer: StreamingDetokenizer,
    texts: Sequence[str],
    original: Callable[[str], Audio],
    seed: int,
) -> dict[str, dict[str, float | int | None]]:
    """Error rates after each link, by link."""
    links: Mapping[str, Copy] = {
        "original": lambda sound: sound,
        "vocoder": lambda sound: through_vocoder(sound, detokenizer.vocoder),
        "codes": lambda sound: through_codes(sound, tokenizer, detokenizer, seed),
    }
    sounds = [original(text) for text in texts]
    recognizer = Recognizer()
    return {
        name: measures.error_rates(texts, [recognizer(copy(sound)) for sound in sounds])
        for name, copy in links.items()
    }


@torch.inference_mode()
def through_vocoder(sound: Audio, vocoder: Vocoder) -> Audio:
    """The sound rebuilt from its own mel spectrogram."""
    rate = vocoder.config.sampling_rate
    weight = next(vocoder.parameters())
    heard = upsampled(sound.resampled(INPUT_SAMPLE_RATE).waveform)
    waveform = torch.from_numpy(heard).to(weight.device)
    mel = log_mel(waveform, vocoder.config).to(weight.dtype)
    return Audio(vocoder(mel[None]).float().flatten().cpu().numpy(), rate)


def through_codes(
    sound: Audio, tokenizer: SpeechTokenizer, detokenizer: StreamingDetokenizer, seed: int
) -> Audio:
    """The sound rebuilt from its own semantic tokens."""
    codes = tokenizer.encode(sound.resampled(INPUT_SAMPLE_RATE).waveform)
    waveform = detokenizer.detokenize(codes, seed)
    return Audio(np.asarray(waveform, np.float32), detokenizer.sample_rate_hz)
