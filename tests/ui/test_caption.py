"""The picture of a sound and the captioning tab's endpoint: no browser."""

from __future__ import annotations

import base64
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from kimi_demo.audio import Audio
from kimi_demo.ui.i18n import EN
from kimi_demo.ui.spectrogram import (
    HOP_SAMPLES,
    MEL_BANDS,
    MOST_COLUMNS,
    RANGE_DB,
    log_mel,
    second_ticks,
    spectrogram,
)

RATE = 16_000
HEARD = "the cat sleeps under the green tree"


def tone(seconds: float, hertz: float, rate: int = RATE) -> Audio:
    cycles = np.arange(int(seconds * rate)) * hertz / rate
    return Audio((0.5 * np.sin(2 * np.pi * cycles)).astype(np.float32), rate)


def band_of(hertz: float) -> float:
    """The band that a frequency belongs to, by the mel scale's own formula."""
    mel = [2595 * np.log10(1 + f / 700) for f in (hertz, RATE / 2)]
    return mel[0] / mel[1] * (MEL_BANDS + 1) - 1


@pytest.mark.parametrize("hertz", [120, 440, 1000, 3000, 7000])
@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_a_tone_is_loudest_in_its_band(hertz: float, rate: int):
    mel = log_mel(tone(1.0, hertz, rate))
    assert mel.mean(axis=1).argmax() == pytest.approx(band_of(hertz), abs=1.5)
    assert mel.max() == 0
    assert mel.min() >= -RANGE_DB


def test_a_long_sound_keeps_a_short_click_and_its_place():
    waveform = np.full(60 * RATE, 1e-5, np.float32)
    waveform[45 * RATE : 45 * RATE + 200] = 0.8
    mel = log_mel(Audio(waveform, RATE))
    assert mel.shape[1] <= MOST_COLUMNS
    assert mel.mean(axis=0).argmax() / mel.shape[1] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("samples", [1, HOP_SAMPLES, RATE])
def test_any_length_can_be_shown(samples: int):
    assert np.isfinite(log_mel(Audio(np.zeros(samples, np.float32), RATE))).all()


@pytest.mark.parametrize(
    ("seconds", "ticks"), [(1.0, [0, 0.2, 0.4, 0.6, 0.8]), (30, [0, 5, 10, 15, 20, 25])]
)
def test_ticks_are_round_and_few(seconds: float, ticks: list[float]):
    assert second_ticks(seconds) == ticks
    assert all(len(second_ticks(s)) <= 8 for s in (0.1, 3.3, 59, 120, 3600))


def test_the_figure_holds_a_picture_of_the_levels_and_says_what_it_is():
    sound = tone(2.0, 1000)
    shown = spectrogram(sound, EN)
    assert 'alt="Mel spectrogram of 2.0 s' in shown
    png = base64.b64decode(re.search(r"base64,([^\"]+)", shown)[1])
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    mel = log_mel(sound)
    assert (height, width) == mel.shape
    data = png.index(b"IDAT")
    size = int.from_bytes(png[data - 4 : data], "big")
    pixels = np.frombuffer(zlib.decompress(png[data + 4 : data + 4 + size]), np.uint8)
    rows = pixels.reshape(height, width + 1)[::-1, 1:]  # low frequencies lie at the bottom
    np.testing.assert_allclose(rows, 255 * (1 + mel / RANGE_DB), atol=0.51)


def test_caption_describes_and_refuses(client: Client, site: Any, tmp_path: Path):
    file = tmp_path / "tone.wav"
    soundfile.write(file, tone(1.0, 500).waveform, RATE)
    assert client.predict(handle_file(str(file)), api_name="/caption") == HEARD
    asked = site.engine.turns[-1].messages[0].parts
    assert asked[0].text == site.engine.capabilities.tasks.caption_prompts[""]
    assert asked[1].audio.duration_s == pytest.approx(1.0)
    client.predict(handle_file(str(file)), "zh", api_name="/caption")
    asked = site.engine.turns[-1].messages[0].parts
    assert asked[0].text == site.engine.capabilities.tasks.caption_prompts["zh"]
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    with pytest.raises(AppError, match="silent"):
        client.predict(handle_file(str(silent)), api_name="/caption")
