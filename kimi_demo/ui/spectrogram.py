"""A picture of a sound: its log-mel spectrogram with axes in seconds and hertz, as HTML.

The picture is a small palette PNG inside the page. Dark ink on paper; the style sheet inverts it
for dark pages.

Axis letters: T samples, F frames, N frequencies of the transform, M mel bands.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio

MEL_BANDS = 96
WINDOW_SAMPLES = 640  # 40 ms at 16 kHz
TRANSFORM_SAMPLES = 1024
HOP_SAMPLES = 160
MOST_COLUMNS = 720
RANGE_DB = 70.0
TOP_HZ = INPUT_SAMPLE_RATE / 2
HZ_TICKS = (250, 500, 1000, 2000, 4000)
MOST_SECOND_TICKS = 7
# Quiet to loud: paper, then tide, then ink.
INKS = ((255, 255, 255), (211, 244, 239), (63, 184, 174), (15, 100, 98), (5, 32, 34))


def log_mel(audio: Audio) -> np.ndarray:
    """(M, F) float32 in dB below the loudest point, lowest band first; at most MOST_COLUMNS wide.

    A long sound keeps its short events: neighbouring frames give their mean power.
    """
    waveform = audio.resampled(INPUT_SAMPLE_RATE).waveform
    padded = np.pad(waveform, (0, max(0, WINDOW_SAMPLES - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    bank, window = _mel_bank(), np.hanning(WINDOW_SAMPLES).astype(np.float32)
    each = -(-len(frames) // MOST_COLUMNS)  # frames in one column
    columns = []
    for start in range(0, len(frames), each):
        spectrum = np.fft.rfft(frames[start : start + each] * window, TRANSFORM_SAMPLES)
        columns.append(bank @ (np.abs(spectrum) ** 2).mean(axis=0))
    power = np.stack(columns, axis=1)
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    return np.maximum(decibels - decibels.max(), -RANGE_DB).astype(np.float32)


def spectrogram(audio: Audio, words: Mapping[str, str]) -> str:
    levels = np.round(255 * (1 + log_mel(audio) / RANGE_DB)).astype(np.uint8)
    picture = base64.b64encode(_png(levels[::-1])).decode()
    seconds = audio.duration_s
    said = html.escape(words["caption_spectrogram_alt"].format(seconds=f"{seconds:.1f}"))
    hertz = "".join(
        f'<span style="bottom:{100 * _mel(hz) / _mel(TOP_HZ):.2f}%">{_short_hz(hz)}</span>'
        for hz in HZ_TICKS
    )
    times = "".join(
        f'<span style="left:{100 * t / seconds:.2f}%">{t:g}</span>' for t in second_ticks(seconds)
    )
    return (
        f'<figure class="spectrogram"><figcaption>{html.escape(words["caption_spectrogram"])}'
        f'</figcaption><div class="spectrogram-hz" aria-hidden="true"><b>Hz</b>{hertz}</div>'
        f'<img alt="{said}" src="data:image/png;base64,{picture}">'
        f'<div class="spectrogram-s" aria-hidden="true">{times}<b>s</b></div></figure>'
    )


def second_ticks(seconds: float) -> list[float]:
    """Round times from 0 on, few enough to stand side by side."""
    steps = (factor * 10.0**power for power in range(-2, 4) for factor in (1, 2, 5))
    step = next(step for step in steps if seconds / step <= MOST_SECOND_TICKS)
    return [round(step * i, 3) for i in range(int(seconds / step) + 1) if step * i < 0.97 * seconds]


def _short_hz(hertz: int) -> str:
    return str(hertz) if hertz < 1000 else f"{hertz // 1000}k"


def _mel(hertz: float | np.ndarray) -> float | np.ndarray:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def _mel_bank() -> np.ndarray:
    """(M, N) triangles, evenly spaced in mel from 0 to TOP_HZ, each of peak 1."""
    edges = 700 * (10 ** (np.linspace(0, _mel(TOP_HZ), MEL_BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(TRANSFORM_SAMPLES, 1 / INPUT_SAMPLE_RATE)
    low, peak, high = (edges[i : i + MEL_BANDS, None] for i in range(3))
    bank = np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)).clip(0)
    # Below 500 Hz bands are narrower than the transform can tell apart: each takes its nearest bin.
    nearest = np.abs(bins - peak).argmin(axis=1)
    bank[np.arange(MEL_BANDS), nearest] = np.maximum(bank[np.arange(MEL_BANDS), nearest], 0.5)
    return bank.astype(np.float32)


def _png(levels: np.ndarray) -> bytes:
    """(H, W) uint8 as a PNG whose palette is the inks."""
    stops = np.linspace(0, 255, len(INKS))
    palette = np.stack([np.interp(range(256), stops, ink) for ink in zip(*INKS, strict=True)], 1)
    picture = Image.fromarray(levels).convert("P")
    picture.putpalette(palette.round().astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return file.getvalue()
