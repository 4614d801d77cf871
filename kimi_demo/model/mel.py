"""Log-mel spectrogram of the vocoder's side: 24 kHz speech, 50 frames a second.

Axis letters: B batch, N samples, T frames, F frequency bins.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

from kimi_demo.errors import AudioError
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig

_POWER_FLOOR = 1e-9
_MEL_FLOOR = 1e-5


def log_mel(waveform: Tensor, config: VocoderConfig) -> Tensor:
    """Natural-log mel magnitudes on the slaney scale, the vocoder's input; differentiable.

    waveform: (B, N) or (N,) float in [-1, 1] at ``config.sampling_rate``.
    Returns: (B, n_mels, N // hop_size), or (n_mels, N // hop_size).
    Raises: AudioError if N is too short to be reflected at its ends.
    """
    margin = (config.n_fft - config.hop_size) // 2
    if waveform.shape[-1] <= margin:
        raise AudioError(f"A mel spectrogram needs more than {margin} samples of audio.")
    # Frames are centred on their hop by the reflected margin, so the STFT itself must not pad.
    padded = F.pad(waveform[..., None, :], (margin, margin), mode="reflect")[..., 0, :]
    window = torch.hann_window(config.win_size, dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.stft(
        padded,
        config.n_fft,
        config.hop_size,
        config.win_size,
        window,
        center=False,
        return_complex=True,
    )  # (B, F, T)
    magnitude = (spectrum.real.square() + spectrum.imag.square() + _POWER_FLOOR).sqrt()
    bank = _mel_bank(config).to(magnitude)
    return (bank @ magnitude).clamp_min(_MEL_FLOOR).log()


@lru_cache(maxsize=8)
def _mel_bank(config: VocoderConfig) -> Tensor:
    """(n_mels, F) triangles of equal area."""
    bank = mel_filter_bank(
        num_frequency_bins=config.n_fft // 2 + 1,
        num_mel_filters=config.num_mels,
        min_frequency=config.fmin,
        max_frequency=config.fmax or config.sampling_rate / 2,
        sampling_rate=config.sampling_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    # Made outside of inference mode, since training may use the same table later.
    with torch.inference_mode(False):
        return torch.from_numpy(bank.T).float().contiguous()
