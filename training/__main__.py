"""`python -m training COMMAND`: make, pack and measure the embedded checkpoint."""

from __future__ import annotations

import logging
import sys

from kimi_demo.cli.commands import CommandLine

COMMAND_LINE = CommandLine(
    package="training",
    description="Train nano, the embedded checkpoint, part by part.",
    commands={
        "corpus": ("training.corpus", "make the training speech (needs flite and espeak-ng)"),
        "task-corpus": ("training.record_tasks", "make questions, answers, noise and sounds"),
        "features": ("training.features", "compute what training reads of a corpus"),
        "generate-mels": ("training.generate_mels", "make mels for the vocoder to learn from"),
        "encode": ("training.encode", "add codes and acoustic features of frozen encoders"),
        "text-tokenizer": ("training.train_text_tokenizer", "learn the text tokenizer"),
        "speech-tokenizer": ("training.train_speech_tokenizer", "learn the semantic tokens"),
        "acoustic": ("training.train_acoustic", "learn the continuous encoder"),
        "vocoder": ("training.train_vocoder", "learn mel to waveform"),
        "flow": ("training.train_flow", "learn semantic tokens to mel"),
        "unpack": ("training.unpack", "take packed weights apart, to train on from them"),
        "average": ("training.average_runs", "merge runs that learned apart"),
        "language-model": ("training.train_language_model", "learn text and speech together"),
        "example-clips": ("training.example_clips", "make the sounds among the page's examples"),
        "pack": ("training.pack", "turn trained parts into a checkpoint folder"),
        "evaluate": ("training.evaluate", "measure a checkpoint on what it never saw"),
    },
    requirements="training/requirements.txt",
    log_level=logging.INFO,
)
main = COMMAND_LINE.run

if __name__ == "__main__":
    sys.exit(main())
