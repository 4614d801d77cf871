"""Toy material: speech of tones with phones and times, ears of random weights, tiny sizes."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from training import adversary, ears, flow, language_model, lessons, sizes, speak
from training import speech_tokenizer as tokens
from training import vocoder as vocoder_training
from training.cache import Cache
from training.hearing import alone, place
from training.kokoro import Kokoro
from training.shards import PUNCTUATION, SAMPLE_RATE, UNIT_SAMPLES, Utterance
from training.sounds import degrade
from training.texts import dialogue, fillings, sentences, written

VOICES = ("af_heart", "am_puck", "bf_emma", "zf_xiaoxiao", "zm_yunxi")
ENGLISH = (
    "The cat sleeps on the mat.",
    "It is cold outside.",
    "One and two are three!",
    "We drink tea at night.",
    "A dog runs past our house.",
    "She sings, and he sleeps.",
)
MANDARIN = ("今天很好。", "这是什么？", "我有一只猫。", "你好，老师！", "天上有鸟。", "他在家。")
QUESTIONS = {"en": "what is your name?", "zh": "你叫什么名字？"}  # of the small world
LEAD, TAIL = 18, 22  # units of silence around a toy utterance, as generous as Kokoro's
_TONES = "→↗↘↓"
_SYLLABLES = ("ma", "pu", "li", "ʂɨ", "tɤ", "nja")


def phones_of(text: str, language: str) -> str:
    """Made-up phones in Kokoro's letters: stress in English, a tone a syllable in Mandarin."""
    if language == "en":
        letters = "".join(c for c in text.lower() if c in "abdefhijklmnopstuvwz .,!?")
        return " ".join("ˈ" + word if word.isalpha() else word for word in letters.split())
    marks = str.maketrans("，。？！", ",.?!")
    return "".join(
        c if c in ",.?!" else _SYLLABLES[ord(c) % 6] + _TONES[ord(c) % 4]
        for c in text.translate(marks)
        if c in ",.?!" or "\u4e00" <= c <= "\u9fff"
    )


def lengths_of(phones: str) -> list[int]:
    """One length a phone, in units of 25 ms, and the silence at both ends."""
    return [LEAD, *(2 + ord(phone) % 3 for phone in phones), TAIL]


def sound_of(phones: str, voice: str) -> np.ndarray:
    """(N,) int16 at 24 kHz: a tone for each phone, higher for some voices; silence around."""
    scale = 1 + 0.1 * (sum(map(ord, voice)) % 5)
    levels, pitches = [0.0], [100.0]
    for phone in phones:
        levels.append(0.0 if phone in PUNCTUATION else 0.4)
        pitches.append((150 + 37 * (ord(phone) % 29)) * scale)
    samples = np.array(lengths_of(phones)) * UNIT_SAMPLES
    level = np.repeat([*levels, 0.0], samples)
    pitch = np.repeat([*pitches, 100.0], samples)
    tone = level * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    return (tone * 32767).astype(np.int16)


def row_of(text: str, language: str, voice: str) -> dict:
    """A line of a shard, without its place."""
    phones = phones_of(text, language)
    row = {"text": text, "language": language, "voice": voice, "speed": 1.0, "phones": phones}
    return row | {"frames": lengths_of(phones), "start": 0, "samples": 0}


def write_shard(path: Path, rows: Sequence[dict]) -> np.ndarray:
    """path: without a suffix. Returns: (N,) int16, what was encoded."""
    start, lines, pieces = 0, [], []
    for row in rows:
        sound = sound_of(row["phones"], row["voice"])
        lines.append(json.dumps(row | {"start": start, "samples": len(sound)}) + "\n")
        pieces.append(sound)
        start += len(sound)
    whole = np.concatenate(pieces)
    speak.write_opus(path.with_suffix(".opus"), whole, 64_000)
    path.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")
    return whole


def utterance(phones: str, onsets: Sequence[int], samples: int = 0) -> Utterance:
    """onsets: where each phone begins and the last one ends, in units of 25 ms."""
    samples = samples or onsets[-1] * UNIT_SAMPLES
    return Utterance("text", "en", "af_heart", phones, tuple(onsets), 0, samples)


class ToyKokoro(Kokoro):
    """Speaks in tones; needs no files."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        del folder, threads

    def phones(self, text: str, language: str) -> str:
        return phones_of(text, language)

    def lengths(self, phones: str, voice: str, speed: float = 1.0) -> list[int]:
        return lengths_of(phones)

    def speak(self, phones: str, voice: str, speed: float = 1.0) -> tuple[np.ndarray, list[int]]:
        return sound_of(phones, voice), lengths_of(phones)

    def voices(self) -> list[str]:
        return list(VOICES)


# ---- ears of random weights ---------------------------------------------------------------------


def whisper_variables(width: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays under CTranslate2's names, float16 as faster-whisper has them."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "position_encodings/encodings": (1500, width),
        "conv1/weight": (width, ears.MEL_BINS, 3),
        "conv1/bias": (width,),
        "conv2/weight": (width, width, 3),
        "conv2/bias": (width,),
    }
    for i in range(ears.LAYERS):
        name = f"layer_{i}"
        layers = {"self_attention/linear_0": (3 * width, width)}
        layers |= {"self_attention/linear_1": (width, width)}
        layers |= {"ffn/linear_0": (4 * width, width), "ffn/linear_1": (width, 4 * width)}
        for layer, shape in layers.items():
            shapes |= {f"{name}/{layer}/weight": shape, f"{name}/{layer}/bias": shape[:1]}
    found = {k: rng.normal(0, 0.1, shape).astype(np.float16) for k, shape in shapes.items()}
    norms = ["layer_norm"]
    norms += [f"layer_{i}/{n}/layer_norm" for i in range(ears.LAYERS) for n in _NORMED]
    for norm in norms:
        found |= {f"{norm}/gamma": np.ones(width, np.float16)}
        found |= {f"{norm}/beta": np.zeros(width, np.float16)}
    return {f"encoder/{name}": values for name, values in found.items()}


_NORMED = ("self_attention", "ffn")


def write_variables(path: Path, variables: dict[str, np.ndarray]) -> None:
    """CTranslate2's binary format, version 6."""
    kinds = {kind: number for number, kind in ears._DTYPES.items()}

    def name(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    parts = [struct.pack("<I", 6), name("WhisperSpec"), struct.pack("<I", 3)]
    parts.append(struct.pack("<I", len(variables)))
    for key, values in variables.items():
        parts += [name(key), struct.pack("<B", values.ndim)]
        parts += [struct.pack(f"<{values.ndim}I", *values.shape)]
        parts += [struct.pack("<BI", kinds[values.dtype.type], values.nbytes), values.tobytes()]
    path.write_bytes(b"".join(parts))


def pretend_to_hear(cache: Cache, number: int) -> None:
    """Writes a pass in which every code is its row, modulo their number, and every feature its
    row / 1024.
    """
    windows = list(place(cache.entries, random.Random(number)) if number else alone(cache.entries))
    rows = np.arange(windows[-1].start + windows[-1].length)
    np.save(cache.root / f"codes-{number}.npy", (rows % sizes.NUM_CODES).astype(np.int16))
    features = np.repeat(rows[:, None] / 1024, 4 * ears.WIDTH, 1).astype(np.float16)
    np.save(cache.root / f"heard-{number}.npy", features)
    lines = (json.dumps(dataclasses.asdict(window)) + "\n" for window in windows)
    (cache.root / f"windows-{number}.jsonl").write_text("".join(lines))


# ---- tiny sizes, short texts --------------------------------------------------------------------


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Every part becomes as small as its classes allow."""
    lm, vocoder = sizes.language_model_config, sizes.vocoder_config
    tiny = {"hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "num_kv_heads": 2}
    tiny |= {"num_layers": 2, "num_audio_layers": 1, "branch_layer": 0}
    patch.setattr(ears, "WIDTH", 32)
    patch.setattr(ears, "HEADS", 2)
    patch.setattr(sizes, "NUM_CODES", 48)
    patch.setattr(
        sizes, "language_model_config", lambda *args: dataclasses.replace(lm(*args), **tiny)
    )
    patch.setattr(
        sizes,
        "vocoder_config",
        lambda: dataclasses.replace(vocoder(), upsample_initial_channel=128),
    )
    patch.setattr(adversary, "CHANNELS", 2)
    patch.setattr(tokens, "READOUT_WIDTH", 32)
    patch.setattr(tokens, "READOUT_LAYERS", 1)
    patch.setattr(tokens, "BATCH_POSITIONS", 150)
    patch.setattr(flow, "HIDDEN_SIZE", 32)
    patch.setattr(flow, "DEPTH", 2)
    patch.setattr(flow, "HEADS", 2)
    patch.setattr(lessons, "POSITIONS_PER_BATCH", 300)
    patch.setattr(vocoder_training, "HELD_OUT", 1)
    patch.setattr(vocoder_training, "BATCH", 2)
    patch.setattr(degrade, "BACKGROUND_S", 2.0)
    for module in (tokens, flow, language_model):
        patch.setattr(module, "split", partial(tokens.split, every=3))


def without_wordnet(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A handful of sentences and nouns instead; what was read of texts is forgotten afterwards."""
    words = fillings.open_words
    patch.setattr(sentences, "wordnet_examples", lambda *folder: list(ENGLISH))
    patch.setattr(
        fillings, "open_words", lambda lang: words(lang) if lang == "zh" else ["apple", "river"]
    )
    patch.setattr(dialogue, "OPEN_PHRASES", 40)
    cached = [
        function
        for module in (dialogue, written, sentences)
        for function in vars(module).values()
        if hasattr(function, "cache_clear") and function.__name__ not in _WITHOUT_WORDNET
    ]
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


_WITHOUT_WORDNET = ("_dictionary", "mandarin_words", "_patterns")  # slow, and always the same
