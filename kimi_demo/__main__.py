"""`python -m kimi_demo COMMAND`: everything the package does, on the command line."""

from __future__ import annotations

import sys

from kimi_demo.cli.commands import CommandLine

COMMAND_LINE = CommandLine(
    package="kimi_demo",
    description="Kimi-Audio: hear and speak.",
    commands={
        "say": ("kimi_demo.cli.say", "speak a text into a WAV file"),
        "transcribe": ("kimi_demo.cli.transcribe", "write down what is said in sound files"),
        "describe": ("kimi_demo.cli.describe", "describe a sound, or answer a question about it"),
        "screenshots": ("kimi_demo.cli.screenshots", "take pictures of every tab of the page"),
        "chat": ("kimi_demo.cli.chat", "hold a conversation, typed or spoken"),
        "talk": ("kimi_demo.cli.talk.command", "talk hands-free, or play recordings to it"),
        "doctor": ("kimi_demo.cli.doctor.command", "tell whether a model would start here"),
        "bench": ("kimi_demo.cli.bench.command", "measure speed and memory"),
        "bench-api": ("kimi_demo.cli.bench_api", "measure how soon the API answers"),
        "convert": ("kimi_demo.cli.convert", "turn the pickles of a release into safetensors"),
    },
    requirements="requirements-dev.txt",
)
main = COMMAND_LINE.run

if __name__ == "__main__":
    sys.exit(main())
