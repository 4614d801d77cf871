"""`python -m kimi_demo COMMAND`: everything the project does, on the command line.

A command is a module with `add_arguments(parser)` and `run(args)`, imported only when it is chosen:
help comes at once, and what a command needs is asked for by that command alone.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kimi_demo.errors import KimiError

BAD_INPUT = 2  # the exit code argparse uses too
INTERRUPTED = 130

# Command -> (module, one line of help).
COMMANDS: Mapping[str, tuple[str, str]] = {
    "say": ("kimi_demo.cli.say", "speak a text into a WAV file"),
    "transcribe": ("kimi_demo.cli.transcribe", "write down what is said in sound files"),
    "describe": ("kimi_demo.cli.describe", "describe a sound, or answer a question about it"),
    "screenshots": ("kimi_demo.cli.screenshots", "take pictures of every tab of the page"),
    "chat": ("kimi_demo.cli.chat", "hold a conversation, typed or spoken"),
    "doctor": ("kimi_demo.cli.doctor", "tell whether a model would start here"),
    "bench": ("kimi_demo.cli.bench", "measure speed and memory"),
    "bench-api": ("kimi_demo.cli.bench_api", "measure how soon the API answers"),
    "convert": ("kimi_demo.cli.convert", "turn the pickles of a release into safetensors"),
    "evaluate": ("kimi_demo.nano.evaluate", "measure a checkpoint on the held-out sentences"),
    "pack": ("kimi_demo.nano.pack", "turn trained parts into a checkpoint folder"),
}
TRAINING: Mapping[str, tuple[str, str]] = {
    "corpus": ("kimi_demo.nano.corpus", "make the training speech (needs flite and espeak-ng)"),
    "task-corpus": ("kimi_demo.nano.record_tasks", "make questions, answers, noise and sounds"),
    "features": ("kimi_demo.nano.features", "compute what training reads of a corpus"),
    "generate-mels": ("kimi_demo.nano.generate_mels", "make mels for the vocoder to learn from"),
    "encode": ("kimi_demo.nano.encode", "add codes and acoustic features of frozen encoders"),
    "text-tokenizer": ("kimi_demo.nano.train_text_tokenizer", "learn the text tokenizer"),
    "speech-tokenizer": ("kimi_demo.nano.train_speech_tokenizer", "learn the semantic tokens"),
    "acoustic": ("kimi_demo.nano.train_acoustic", "learn the continuous encoder"),
    "vocoder": ("kimi_demo.nano.train_vocoder", "learn mel to waveform"),
    "flow": ("kimi_demo.nano.train_flow", "learn semantic tokens to mel"),
    "unpack": ("kimi_demo.nano.unpack", "take packed weights apart, to train on from them"),
    "average": ("kimi_demo.nano.average_runs", "merge runs that learned apart"),
    "language-model": ("kimi_demo.nano.train_language_model", "learn text and speech together"),
    "example-clips": ("kimi_demo.nano.example_clips", "make the sounds among the page's examples"),
}


class _LazyParser(argparse.ArgumentParser):
    """A parser that asks its module for options only once it has something to parse."""

    def __init__(self, *args: Any, module: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._module = module

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        if self._module:
            module = importlib.import_module(self._module)
            module.add_arguments(self)
            self.set_defaults(run=module.run)
            self._module = ""
        return super().parse_known_args(args, namespace)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _LazyParser(prog="python -m kimi_demo", description="Kimi-Audio: hear and speak.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_commands(commands, COMMANDS)
    train = commands.add_parser("train", help="train one part of the embedded checkpoint")
    _add_commands(train.add_subparsers(dest="part", required=True, metavar="PART"), TRAINING)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        args = build_parser().parse_args(arguments)
        _set_up_logging(chatty=args.command in ("train", "pack", "evaluate"))
        return int(args.run(args) or 0)
    except KimiError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return BAD_INPUT
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] == "kimi_demo":
            raise
        hint = "install the tools with: python -m pip install -r requirements-dev.txt"
        print(f"error: this command needs the package {exc.name}; {hint}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


def _add_commands(
    commands: argparse._SubParsersAction, table: Mapping[str, tuple[str, str]]
) -> None:
    for name, (module, summary) in table.items():
        commands.add_parser(name, module=module, help=summary, description=summary)


def _set_up_logging(chatty: bool) -> None:
    level = logging.INFO if chatty else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


if __name__ == "__main__":
    sys.exit(main())
