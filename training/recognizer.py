"""An independent listener: pocketsphinx with the English model of its package.

It has never heard this project's voices, so what it understands is a fair figure.
"""

from __future__ import annotations

import numpy as np
from pocketsphinx import Decoder

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio, to_int16

PEAK = 0.7
PADDING_S = 0.2


class Recognizer:
    """Callable: a sound to lower-case words. Utterances do not influence each other."""

    def __init__(self) -> None:
        # Batch normalisation of the cepstra looks at one utterance alone; "live" would carry over.
        self._decoder = Decoder(samprate=INPUT_SAMPLE_RATE, cmn="batch", loglevel="FATAL")

    def __call__(self, audio: Audio) -> str:
        """What was understood; empty if nothing was."""
        self._decoder.start_utt()
        self._decoder.process_raw(to_int16(prepared(audio)).tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""


def prepared(audio: Audio) -> np.ndarray:
    """(T,) float32 at 16 kHz, its peak at a fixed level, silence at both ends."""
    waveform = audio.resampled(INPUT_SAMPLE_RATE).waveform
    loudest = float(np.abs(waveform).max(initial=0.0))
    padding = round(PADDING_S * INPUT_SAMPLE_RATE)
    return np.pad(waveform * (PEAK / max(loudest, 1e-3)), padding)
