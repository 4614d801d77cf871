"""`evaluate`: how well a checkpoint does everything that it is for, on what it never saw.

Every section asks the engine as the page does. Speech is judged by an independent recogniser, or in
Mandarin by the checkpoint's own transcription; either judge is judged on the original voice, too.
Voices and sounds are made on the spot: sections whose synthesiser is missing hold a note instead.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from kimi_demo.checkpoint import loading, source
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.cli.common import (
    add_engine_arguments,
    add_json_argument,
    opened_engine,
    print_json,
)
from kimi_demo.errors import InputError
from training.domain import SENTENCES
from training.evaluation import hearing, speaking, talking, understanding, voices
from training.evaluation.bench import Bench
from training.evaluation.table import table
from training.links import evaluate_links
from training.recognizer import Recognizer
from training.synthesizers import SynthesizerUnavailableError

logger = logging.getLogger(__name__)

FIGURES_BEGIN, FIGURES_END = "<!-- figures -->", "<!-- end -->"
Section = Callable[[Bench], dict[str, object]]

SECTIONS: Mapping[str, Section] = {
    "speech_en": speaking.speech_en,
    "speech_zh": speaking.speech_zh,
    "speech_new_words": speaking.speech_new_words,
    "hearing": hearing.hearing,
    "conversation": talking.conversation,
    "conversation_spoken": talking.conversation_spoken,
    "captioning": understanding.captioning,
    "choices": understanding.choices,
    "ask": understanding.ask,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    add_engine_arguments(parser)
    add_json_argument(parser)
    parser.add_argument("--limit", type=_positive, default=60, help="items of a figure, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", nargs="+", choices=tuple(SECTIONS), metavar="NAME", help=", ".join(SECTIONS)
    )
    parser.add_argument(
        "--links", action="store_true", help="also judge every link of speech: see --json"
    )
    parser.add_argument("--keep", type=Path, help="folder for what is read aloud, and how heard")
    parser.add_argument("--card", type=Path, help="write the table into this card, too")


def run(args: argparse.Namespace) -> None:
    """Measures and prints: everything, or the table for people."""
    with opened_engine(args) as engine:
        bench = Bench(engine, Recognizer(), args.seed, args.limit, args.keep)
        result = evaluate(bench, args.only or tuple(SECTIONS))
    if args.card:
        args.card.write_text(quoted(args.card.read_text("utf-8"), result), "utf-8")
    if args.links:
        result["links"] = links(args)
    if args.json:
        print_json(result)
    else:
        print("\n".join(readable(result)))


def evaluate(bench: Bench, names: Sequence[str]) -> dict[str, object]:
    """The sections of these names and the table of all figures, as one object."""
    capabilities = bench.engine.capabilities
    result: dict[str, object] = {
        "model": capabilities.model,
        "device": capabilities.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seed": bench.seed,
        "limit": bench.limit,
    }
    result |= {name: _measured(name, bench) for name in SECTIONS if name in names}
    return {**result, "table": table(result)}


def _measured(name: str, bench: Bench) -> dict[str, object]:
    logger.info("%s ...", name)
    try:
        return SECTIONS[name](bench)
    except SynthesizerUnavailableError as exc:
        logger.warning("%s is left out: %s", name, exc)
        return {"note": str(exc)}


def links(args: argparse.Namespace) -> dict[str, object]:
    """The original English voice through ever more of the chain."""
    original = voices.original("en")
    if original is None:
        return {"note": "original voice not installed"}
    parts = loading.load(source.find(args.model), Placement.on("cpu"))
    texts = SENTENCES.read_held_out()[: args.limit]
    return evaluate_links(parts.speech_tokenizer, parts.detokenizer, texts, original, args.seed)


def readable(result: Mapping[str, object]) -> list[str]:
    """The table in Markdown, as a card quotes it."""
    lines = ["| task | measure | value | aim | reached | items |", "|---|---|---|---|---|---|"]
    marks = {True: "yes", False: "no", None: ""}
    for row in result["table"]:
        value = "" if row["value"] is None else f"{row['value']:.3f}"
        cells = (row["task"], row["measure"], value, row["aim"], marks[row["reached"]])
        lines.append("| " + " | ".join((*cells, str(row["count"] or ""))) + " |")
    return lines


def quoted(card: str, result: Mapping[str, object]) -> str:
    """The card with this table between its marks. Raises: InputError if it has no marks."""
    head, begin, rest = card.partition(FIGURES_BEGIN)
    _, end, tail = rest.partition(FIGURES_END)
    if not begin or not end:
        raise InputError(f"the card needs the marks {FIGURES_BEGIN} and {FIGURES_END}")
    measured = (
        f"`python -m training evaluate --limit {result['limit']}`, held-out material, "
        f"{result['device']}, torch {result['torch']}."
    )
    return "\n".join((head + begin, measured, "", *readable(result), end + tail))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{text} is not positive")
    return number
