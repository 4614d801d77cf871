"""Records what the tasks beyond plain sentences need, in shards like those of the corpus.

    questions-en, questions-zh   questions of the dialogues, by many speakers, some degraded
    answers-en, answers-zh       every answer, in the output voices
    robust-en, robust-zh         sentences by many speakers in noise, rooms and on the telephone
    sounds                       labelled sounds, scenes, moods and voices with their questions

Folders that begin with `heldout-` are for evaluation.
"""

from __future__ import annotations

import argparse
import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from training import augment, corpus, dialogue, domain, domain_zh, sounds
from training.synthesizers import SAMPLE_RATE_HZ, Utterance

logger = logging.getLogger(__name__)

SPEAKERS = {
    "en": ("slt", corpus.ESPEAK, corpus.ESPEAK, "awb", "kal"),
    "zh": (corpus.MANDARIN, corpus.ESPEAK_MANDARIN, corpus.ESPEAK_MANDARIN),
}
OUTPUT_VOICES = {"en": "slt", "zh": corpus.MANDARIN}
DEGRADED_QUESTIONS = 0.25
PAUSED_QUESTIONS = 0.5  # with silence before and after
DIALOGUES = 20_000  # draws behind the recorded questions and answers
KIND_WEIGHTS = {
    **{"sound": 24, "scene": 18, "emotion": 22},
    **{"speech": 14, "sequence": 12, "mixture": 10},
}


def texts_of(language: str, seed: int, dialogues: int = DIALOGUES) -> tuple[list[str], list[str]]:
    """Different questions and answers of many drawn dialogues, the most frequent first."""
    rng = random.Random(f"{seed}/{language}")
    questions: dict[str, int] = {}
    answers: dict[str, int] = {}
    for _ in range(dialogues):
        for exchange in dialogue.draw(rng, language).exchanges:
            questions[exchange.question] = questions.get(exchange.question, 0) + 1
            answers[exchange.answer] = answers.get(exchange.answer, 0) + 1
    return _by_count(questions), _by_count(answers)


def _by_count(counted: dict[str, int]) -> list[str]:
    return sorted(counted, key=lambda text: (-counted[text], text))


def questions(language: str, seed: int, dialogues: int = DIALOGUES) -> Iterator[Utterance]:
    """Every drawn question, each by one of the speakers."""
    rng = random.Random(f"{seed}/questions/{language}")
    for text in texts_of(language, seed, dialogues)[0]:
        spoken = corpus.speak(rng.choice(SPEAKERS[language]), text, rng)
        if rng.random() < PAUSED_QUESTIONS:
            spoken = augment.within_silence(spoken, rng)
        if rng.random() < DEGRADED_QUESTIONS:
            spoken = replace(spoken, waveform=augment.degraded(spoken.waveform, rng))
        yield spoken


def answers(language: str, seed: int, dialogues: int = DIALOGUES) -> Iterator[Utterance]:
    """Every answer once, in the output voice."""
    rng = random.Random(seed)
    for text in texts_of(language, seed, dialogues)[1]:
        yield corpus.speak(OUTPUT_VOICES[language], text, rng)


def robust(language: str, seed: int) -> Iterator[Utterance]:
    """Endless sentences by many speakers, degraded."""
    rng = random.Random(f"{seed}/robust/{language}")
    sentences = domain.SENTENCES if language == "en" else domain_zh.SENTENCES
    while True:
        spoken = corpus.speak(rng.choice(SPEAKERS[language]), sentences.draw_for_training(rng), rng)
        yield replace(spoken, waveform=augment.degraded(spoken.waveform, rng))


def labelled(seed: int, held_out: bool = False) -> Iterator[Utterance]:
    """Endless labelled sounds; kinds are drawn by weight."""
    rng = random.Random(f"{seed}/sounds/{held_out}")
    while True:
        kind = rng.choices(tuple(KIND_WEIGHTS), tuple(KIND_WEIGHTS.values()))[0]
        item = sounds.draw_item(rng, kind, held_out)
        yield Utterance(
            "", item.waveform, SAMPLE_RATE_HZ, (), item.events, item.emotion, item.tasks
        )


def first_hours(utterances: Iterator[Utterance], hours: float) -> Iterator[Utterance]:
    """As many as fit into so many hours."""
    left = hours * 3600 * SAMPLE_RATE_HZ
    for utterance in utterances:
        left -= len(utterance.waveform)
        if left < 0:
            return
        yield utterance


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train task-corpus`."""
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--hours-questions", type=float, default=1.5, help="of each language")
    parser.add_argument("--hours-robust", type=float, default=1.0, help="half of it in Mandarin")
    parser.add_argument("--hours-sounds", type=float, default=2.5)
    parser.add_argument("--dialogues", type=int, default=DIALOGUES, help="drawn for their texts")
    parser.add_argument("--only", nargs="*", help="folders to make")
    parser.add_argument("--seed", type=int, default=1)


def run(args: argparse.Namespace) -> None:
    """Records every folder that is not there yet."""
    for name, utterances in _folders(args).items():
        folder = args.out / name / "000"
        if folder.exists() or (args.only and name not in args.only):
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        count, length = corpus.write_shard(folder, name, utterances)
        logger.info("%s: %d, %.2f h", name, count, length / SAMPLE_RATE_HZ / 3600)


def _folders(args: argparse.Namespace) -> dict[str, Iterator[Utterance]]:
    folders = {}
    for language, share in (("en", 1.0), ("zh", 0.5)):
        asked = questions(language, args.seed, args.dialogues)
        folders[f"answers-{language}"] = answers(language, args.seed, args.dialogues)
        folders[f"questions-{language}"] = first_hours(asked, args.hours_questions)
        degraded = robust(language, args.seed)
        folders[f"robust-{language}"] = first_hours(degraded, args.hours_robust * share)
    folders["sounds"] = first_hours(labelled(args.seed), args.hours_sounds)
    folders["heldout-sounds"] = first_hours(labelled(args.seed, held_out=True), 0.15)
    return folders
