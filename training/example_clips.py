"""Makes the clips that the page offers: speech of Kokoro's other voices, and synthesised sounds.

A spoken clip has its words beside it, in NAME.txt. The same command writes the same files again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.kokoro import Kokoro
from training.shards import SAMPLE_RATE, cut_silence, cut_tail
from training.sounds import Voices, draw
from training.sounds.signals import SAMPLE_RATE_HZ
from training.sounds.voices import speaker_of
from training.texts.spoken import as_spoken

logger = logging.getLogger(__name__)

EDGE_S = 0.2  # of silence around a sentence


@dataclass(frozen=True)
class Spoken:
    """A sentence in one voice. name: of the files; it ends with the language."""

    name: str
    voice: str
    text: str

    @property
    def language(self) -> str:
        return self.name.rpartition("-")[2]


@dataclass(frozen=True)
class Drawn:
    """A labelled sound. caption: what the seed must bring, so that no clip gets a wrong name when
    the sounds change.
    """

    name: str
    kind: str
    seed: int
    caption: str


SPOKEN = (
    Spoken("question-en", "am_michael", "What is the capital of France?"),
    Spoken("question-opposite-en", "bf_emma", "What is the opposite of heavy?"),
    Spoken("question-unknown-en", "af_bella", "What is the weather like?"),
    Spoken("question-zh", "zm_yunxi", "你叫什么名字？"),
    Spoken("question-where-zh", "zf_xiaoyi", "日本的首都是哪里？"),
    Spoken("speech-library-en", "bm_george", "The library closes at six on Fridays."),
    Spoken("speech-bridge-en", "af_bella", "We followed the river until we saw the old bridge."),
    Spoken("speech-departure-en", "am_michael", "The next train leaves at 7:45."),
    Spoken("speech-shopping-zh", "zm_yunjian", "市场里的水果很新鲜，也很便宜。"),
    Spoken("speech-rain-zh", "zf_xiaoyi", "下雨天我喜欢在家里看书。"),
)
# What is said in a mood, and by whom, where only the voice is asked about.
VOICES = (
    Spoken("en", "af_bella", "I have found your letter on the table."),
    Spoken("en", "am_michael", "I have found your letter on the table."),
    Spoken("zh", "zf_xiaobei", "我在桌子上看到了你的信。"),
    Spoken("zh", "zm_yunxi", "我在桌子上看到了你的信。"),
)
DRAWN = (
    Drawn("beeps-three", "count", 44, "A device beeps three times."),
    Drawn("emotion-angry-zh", "emotion", 28, "A woman speaks Mandarin and sounds angry."),
    Drawn("emotion-happy-en", "emotion", 36, "A man speaks English and sounds happy."),
    Drawn("scene-kitchen", "scene", 65, "In a kitchen, water runs and a clock ticks."),
    Drawn(
        "scene-street", "scene", 30, "On a street, a siren wails, an engine runs and someone walks."
    ),
    Drawn("sequence-siren-then-dog", "in turn", 2176, "A siren wails, then a dog barks twice."),
    Drawn("sound-dog", "sound", 374, "A dog barks twice."),
    Drawn("sound-phone-ring", "sound", 139, "A phone rings."),
    Drawn("sound-piano", "sound", 100, "A piano plays."),
    Drawn("sound-rain", "sound", 26, "Rain falls."),
    Drawn("voice-man-en", "speech", 69, "A man speaks English."),
    Drawn("voice-woman-zh", "speech", 45, "A woman speaks Mandarin."),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training example-clips`."""
    parser.add_argument("--teachers", type=Path, required=True, help="folder of kokoro.onnx")
    parser.add_argument("--out", type=Path, default=Path("examples"), help="gets a folder audio")


def run(args: argparse.Namespace) -> None:
    """Writes every clip."""
    folder: Path = args.out / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    kokoro = Kokoro(args.teachers)
    for clip in SPOKEN:
        _write(folder / f"{clip.name}.wav", _at_model_rate(sentence(kokoro, clip)))
        (folder / f"{clip.name}.txt").write_text(f"{clip.text}\n", encoding="utf-8")
    voices = Voices(_utterances(kokoro))
    for clip in DRAWN:
        _write(folder / f"{clip.name}.wav", drawn(clip, voices))


def sentence(kokoro: Kokoro, clip: Spoken) -> np.ndarray:
    """(N,) int16 at 24 kHz, without most of the silence around it."""
    phones = kokoro.phones(as_spoken(clip.text, clip.language), clip.language)
    samples, frames = kokoro.speak(phones, clip.voice)
    line = {"text": clip.text, "language": clip.language, "voice": clip.voice}
    whole = cut_silence({**line, "phones": phones, "frames": frames, "start": 0})
    return cut_tail(whole, samples)[1]


def drawn(clip: Drawn, voices: Voices | None) -> np.ndarray:
    """(T,) float32, 16 kHz; only a clip of a voice needs voices.

    Raises: ValueError if the seed now brings another sound.
    """
    speaking = voices if clip.kind in ("speech", "emotion") else None
    sound = draw(np.random.default_rng(clip.seed), clip.kind, speaking)
    (caption, *_) = (task.answer for task in sound.tasks if task.name == "caption")
    if caption != clip.caption:
        raise ValueError(f"{clip.name}: seed {clip.seed} is {caption!r} now; choose another seed")
    return sound.waveform


def _utterances(kokoro: Kokoro) -> Iterator[tuple[str, bool, np.ndarray]]:
    for clip in VOICES:
        yield speaker_of(clip.voice, clip.language), False, sentence(kokoro, clip)


def _at_model_rate(samples: np.ndarray) -> np.ndarray:
    """(N,) int16 at 24 kHz -> (T,) float32 at 16 kHz, with silent edges."""
    waveform = soxr.resample(samples.astype(np.float32) / 32768, SAMPLE_RATE, SAMPLE_RATE_HZ)
    return np.pad(waveform, round(EDGE_S * SAMPLE_RATE_HZ))


def _write(path: Path, waveform: np.ndarray) -> None:
    """waveform: (T,) float32 at 16 kHz."""
    soundfile.write(path, waveform, SAMPLE_RATE_HZ, subtype="PCM_16")
    logger.info("%s: %.1f s", path.name, len(waveform) / SAMPLE_RATE_HZ)
