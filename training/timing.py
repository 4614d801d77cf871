"""Texts with the phones and phone lengths of the output voices, without any sound.

The text stream of speech is learned from these: two hundred hours of reading cost an hour.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from training import sizes
from training.kokoro import Kokoro
from training.shards import PUNCTUATION, TAIL_UNITS, UNIT_SAMPLES, Utterance, cut_silence
from training.texts import dialogue, sentences
from training.texts.spoken import as_spoken

LAST_PHONE_UNITS = 7  # Kokoro counts the silence at the end to the last phone
QUESTIONS = 4000  # dialogues of two turns
SHORTEST, LONGEST = 3, 240  # phones


def read_timed(path: Path) -> Iterator[Utterance]:
    """The texts of a file of this command, as utterances without a place in any sound."""
    for line in path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        phones, frames = values["phones"], values["frames"]
        last = max(i for i, phone in enumerate(phones) if phone not in PUNCTUATION)
        frames[last + 1] = min(frames[last + 1], LAST_PHONE_UNITS)
        utterance = cut_silence(values)
        samples = (utterance.onsets[last + 1] + TAIL_UNITS) * UNIT_SAMPLES
        yield replace(utterance, samples=samples)


def texts_of(language: str, count: int, seed: int) -> Iterator[str]:
    """Every answer of the dialogues; then questions of theirs and sentences of an open vocabulary,
    none held out."""
    yield from dialogue.answers(language)
    drawing = random.Random(seed)
    for _ in range(QUESTIONS):
        for exchange in dialogue.draw(drawing, language, turns=2).exchanges:
            if not sentences.is_held_out(exchange.question):
                yield exchange.question
    rng = random.Random(seed)
    if language == "en":
        drawn = rng.sample(sentences.english_sentences(), len(sentences.english_sentences()))
        definitions = sentences.as_sentences(sentences.wordnet_definitions())
        drawn += rng.sample(definitions, len(definitions))
    else:
        drawn = sentences.mandarin_sentences(rng, count)
    yield from (text for text in drawn[:count] if not sentences.is_held_out(text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--teachers", type=Path, required=True, help="folder of kokoro.onnx")
    parser.add_argument("--language", choices=tuple(sizes.OUTPUT_VOICES), required=True)
    parser.add_argument("--count", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="the .jsonl to append to")


def run(args: argparse.Namespace) -> None:
    """Times every text that the file does not hold yet."""
    kokoro, voice = Kokoro(args.teachers), sizes.OUTPUT_VOICES[args.language]
    known = set()
    if args.out.exists():
        known = {json.loads(line)["text"] for line in args.out.open(encoding="utf-8")}
    with args.out.open("a", encoding="utf-8", buffering=1) as file:
        for text in texts_of(args.language, args.count, args.seed):
            if text in known:
                continue
            phones = kokoro.phones(as_spoken(text, args.language), args.language)
            if SHORTEST <= len(phones) <= LONGEST:
                row = {"text": text, "language": args.language, "voice": voice, "speed": 1.0}
                row |= {"phones": phones, "frames": kokoro.lengths(phones, voice)}
                row |= {"start": 0, "samples": 0}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                known.add(text)
