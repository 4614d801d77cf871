"""`python -m training COMMAND`: make, pack and measure the embedded checkpoint."""

from __future__ import annotations

import logging
import sys

from kimi_demo.cli.commands import CommandLine

COMMAND_LINE = CommandLine(
    package="training",
    description="Train nano, the embedded checkpoint, part by part.",
    commands={
        "speak": ("training.speak", "make more speech: shards of Kokoro's voices"),
        "timing": ("training.timing", "time the phones of texts, without sound"),
        "sounds": ("training.sounds.write", "make labelled sounds"),
        "cache": ("training.cache", "compute what training reads of shards"),
        "vocoder": ("training.vocoder", "learn mel to waveform"),
        "speech-tokenizer": ("training.speech_tokenizer", "learn the semantic tokens"),
        "hearing": ("training.hearing", "let the frozen ears hear a cache or labelled sounds"),
        "flow": ("training.flow", "learn semantic tokens to mel"),
        "text-tokenizer": ("training.text_tokenizer", "learn the text ids"),
        "language-model": ("training.language_model", "learn text and speech together"),
        "average": ("training.average_runs", "merge runs that learned apart"),
        "generate-mels": ("training.generate_mels", "make mels for the vocoder to learn from"),
        "example-clips": ("training.example_clips", "make the clips that the page offers"),
        "pack": ("training.pack", "turn trained parts into a checkpoint folder"),
        "unpack": ("training.unpack", "take packed weights apart, to train on from them"),
        "evaluate": ("training.evaluate", "measure a checkpoint on what it never saw"),
    },
    requirements="training/requirements.txt",
    log_level=logging.INFO,
)
main = COMMAND_LINE.run

if __name__ == "__main__":
    sys.exit(main())
