"""Makes more speech: shards of about ten minutes, with text, phones and their lengths.

    out-en, out-zh   the two voices that the checkpoint speaks with
    hear             other voices and mixtures of two, at many speeds
    ask              the same voices ask the questions of the small world

A shard is written when it is complete, so that the same command goes on where it was stopped; other
seeds run beside it in other processes. Held-out sentences are never spoken.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from training import sizes
from training.kokoro import Kokoro
from training.shards import SAMPLE_RATE
from training.texts import sentences
from training.texts.dialogue import answers, draw
from training.texts.spoken import as_spoken

SHARD_S = 600.0
BITS_PER_S = {"out-en": 64_000, "out-zh": 64_000, "hear": 24_000, "ask": 24_000}
ENGLISH_SHARE = 0.6
SPEEDS = (0.82, 1.25)
MIXTURES = (0.0, 0.0, 0.25, 0.5, 0.5)
SHORTEST, LONGEST = 4, 220  # phones
BLOCK_SAMPLES = 10 * SAMPLE_RATE


class Script:
    """Who says what: endless lines of (text, language, voice, speed) of one kind."""

    def __init__(self, kind: str, seed: int, voices: list[str]) -> None:
        self._kind, self._rng = kind, random.Random(f"{kind} {seed}")
        self._voices = {
            "en": [voice for voice in voices if voice[0] in "ab"],
            "zh": [voice for voice in voices if voice[0] == "z"],
        }

    def __iter__(self) -> Iterator[tuple[str, str, str, float]]:
        while True:
            language = self._language()
            text = self._text(language)
            if not sentences.is_held_out(text):
                yield text, language, *self._speaker(language)

    def _language(self) -> str:
        if self._kind.startswith("out-"):
            return self._kind.removeprefix("out-")
        return "en" if self._rng.random() < ENGLISH_SHARE else "zh"

    def _text(self, language: str) -> str:
        if self._kind == "ask":
            return self._rng.choice(draw(self._rng, language, turns=2).exchanges).question
        if self._rng.random() < 0.3:
            return self._rng.choice(answers(language))
        if language == "en":
            return self._rng.choice(sentences.english_sentences())
        return sentences.mandarin_sentences(self._rng, 1)[0]

    def _speaker(self, language: str) -> tuple[str, float]:
        if self._kind.startswith("out-"):
            return sizes.OUTPUT_VOICES[language], 1.0
        first, second = self._rng.sample(self._voices[language], 2)
        share = self._rng.choice(MIXTURES)
        voice = f"{first}+{share}*{second}" if share else first
        return voice, round(self._rng.uniform(*SPEEDS), 3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--teachers", type=Path, required=True, help="folder of kokoro.onnx")
    parser.add_argument("--kind", choices=tuple(BITS_PER_S), required=True)
    parser.add_argument("--shards", type=int, default=1, help="how many in all")
    parser.add_argument("--seed", type=int, default=1, help="another one in each process")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")


def run(args: argparse.Namespace) -> None:
    """Makes every shard that does not exist yet."""
    kokoro = Kokoro(args.teachers)
    args.out.mkdir(parents=True, exist_ok=True)
    for number in range(args.shards):
        path = args.out / f"{args.kind}-{args.seed}-{number:03d}"
        if not path.with_suffix(".jsonl").exists():
            script = Script(args.kind, args.seed * 1000 + number, kokoro.voices())
            write_shard(path, script, kokoro, BITS_PER_S[args.kind])


def write_shard(path: Path, script: Script, kokoro: Kokoro, bits_per_s: int) -> None:
    """One .opus and its .jsonl, which is written last."""
    rows, pieces, start = [], [], 0
    for text, language, voice, speed in script:
        phones = kokoro.phones(as_spoken(text, language), language)
        if not SHORTEST <= len(phones) <= LONGEST:
            continue
        samples, frames = kokoro.speak(phones, voice, speed)
        row = {"text": text, "language": language, "voice": voice, "speed": speed}
        row |= {"phones": phones, "frames": frames, "start": start, "samples": len(samples)}
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
        pieces.append(samples)
        start += len(samples)
        if start > SHARD_S * SAMPLE_RATE:
            break
    write_opus(path.with_suffix(".opus"), np.concatenate(pieces), bits_per_s)
    path.with_suffix(".jsonl").write_text("".join(rows), encoding="utf-8")


def write_opus(path: Path, samples: np.ndarray, bits_per_s: int) -> None:
    """(N,) int16 at 24 kHz; decoded again it has exactly N samples."""
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE)
        stream.bit_rate, stream.layout = bits_per_s, "mono"
        for begin in range(0, len(samples), BLOCK_SAMPLES):
            block = np.ascontiguousarray(samples[None, begin : begin + BLOCK_SAMPLES])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
