"""The voices that a checkpoint hears during evaluation and never met, and how they are recorded.

Kokoro and flite speak; what was spoken once is kept in a folder as NAME.wav with its NAME.txt.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.random import Generator

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio, from_samples
from training.evaluation.rows import NotMeasuredError
from training.shards import SAMPLE_RATE
from training.sounds import degrade
from training.sounds.signals import coloured
from training.texts.spoken import as_spoken

# Men and women in turn. English is read by Kokoro's voices of other languages, Mandarin by mixtures
# of its own with those: no shard of training has any of them.
UNMET: Mapping[str, tuple[str, ...]] = {
    "en": (
        *("ef_dora", "em_alex", "ff_siwis", "hm_omega", "if_sara", "im_nicola"),
        *("hf_alpha", "pm_alex", "jf_gongitsune", "jm_kumo", "pf_dora", "hm_psi"),
    ),
    "zh": (
        *("zf_xiaoni+0.5*jf_alpha", "zm_yunxi+0.5*jm_kumo", "zf_xiaoyi+0.5*ff_siwis"),
        *("zm_yunyang+0.5*im_nicola", "zf_xiaobei+0.5*if_sara", "zm_yunjian+0.5*hm_omega"),
    ),
}
SNR_DB, REVERBERATION_S, NOISE_SLOPE = 15.0, 0.3, 0.5
FLITE_VOICE = "slt"
ROOMS: Mapping[str, Callable[[np.ndarray, Generator], np.ndarray]] = {
    "noise": lambda wave, rng: degrade.in_noise(
        wave, coloured(rng, len(wave), NOISE_SLOPE).astype(np.float32), rng, SNR_DB
    ),
    "room": lambda wave, rng: degrade.in_room(wave, rng, REVERBERATION_S),
    "telephone": degrade.through_telephone,
}


@dataclass(frozen=True)
class Voices:
    """cache: folder for what is spoken. teachers: folder of Kokoro; without it only what lies in
    the cache can be heard."""

    cache: Path | None = None
    teachers: Path | None = None

    def unmet(self, text: str, language: str, number: int) -> Audio:
        """A text in one of the voices of `UNMET`, which take turns by `number`."""
        return self.said(text, language, UNMET[language][number % len(UNMET[language])])

    def said(self, text: str, language: str, voice: str) -> Audio:
        """A text in a voice of Kokoro. Raises: NotMeasuredError if that cannot be had."""
        return self._kept(text, f"{language}-{voice}", lambda: self._read(text, language, voice))

    def flite(self, text: str) -> Audio:
        """English in flite's `slt`. Raises: NotMeasuredError without flite."""
        return self._kept(text, f"flite-{FLITE_VOICE}", lambda: _read_by_flite(text))

    def _kept(self, text: str, voice: str, speak: Callable[[], Audio]) -> Audio:
        if self.cache is None:
            return speak()
        digest = hashlib.sha1(f"{voice} {text}".encode(), usedforsecurity=False).hexdigest()[:16]
        path = self.cache / f"{voice.split('-')[0]}-{digest}.wav"
        if not path.exists():
            sound = speak()
            self.cache.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
            path.write_bytes(sound.wav())
        return audio.read(path)

    def _read(self, text: str, language: str, voice: str) -> Audio:
        phones = self._kokoro.phones(as_spoken(text, language), language)
        return from_samples(self._kokoro.speak(phones, voice)[0], SAMPLE_RATE)

    @cached_property
    def _kokoro(self):
        if self.teachers is None:
            raise NotMeasuredError("needs --teachers, the folder of Kokoro, or a filled --cache")
        from training.kokoro import Kokoro  # onnxruntime: not where everything lies in the cache

        return Kokoro(self.teachers)


def recorded(sound: Audio, room: str, text: str) -> Audio:
    """The sound through one of `ROOMS`; the same text is recorded the same each time."""
    heard = sound.resampled(INPUT_SAMPLE_RATE).waveform
    wave = ROOMS[room](heard, np.random.default_rng(zlib.crc32(text.encode())))
    loudest = max(float(np.abs(wave).max(initial=0.0)), 1.0)
    return Audio((wave / loudest).astype(np.float32), INPUT_SAMPLE_RATE)


def _read_by_flite(text: str) -> Audio:
    if not shutil.which("flite"):
        raise NotMeasuredError("needs flite: apt-get install flite")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        words = as_spoken(text, "en")
        subprocess.run(["flite", "-voice", FLITE_VOICE, "-t", words, "-o", path], check=True)
        return audio.read(path)
