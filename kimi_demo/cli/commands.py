"""A command line made of a table: a name for each command, its module and one line of help.

A command is a module with `add_arguments(parser)` and `run(args)`, imported only when it is chosen:
help comes at once, and what a command needs is asked for by that command alone.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kimi_demo.errors import KimiError

BAD_INPUT = 2  # the exit code argparse uses too
INTERRUPTED = 130


@dataclass(frozen=True)
class CommandLine:
    """What `python -m PACKAGE COMMAND` can do."""

    package: str
    description: str
    commands: Mapping[str, tuple[str, str]]  # name -> (module, one line of help)
    requirements: str  # the file that lists what its commands need
    log_level: int = logging.WARNING

    def build_parser(self) -> argparse.ArgumentParser:
        """The whole command line; the options of a command are added once it is chosen."""
        parser = _LazyParser(prog=f"python -m {self.package}", description=self.description)
        chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name, (module, summary) in self.commands.items():
            chosen.add_parser(name, module=module, help=summary, description=summary)
        return parser

    def run(self, arguments: Sequence[str] | None = None) -> int:
        try:
            args = self.build_parser().parse_args(arguments)
            logging.basicConfig(
                level=self.log_level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
            )
            return int(args.run(args) or 0)
        except KimiError as exc:
            return _complain(str(exc), BAD_INPUT)
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.split(".")[0] in ("kimi_demo", self.package):
                raise
            hint = f"install the tools with: python -m pip install -r {self.requirements}"
            return _complain(f"this command needs the package {exc.name}; {hint}", BAD_INPUT)
        except KeyboardInterrupt:
            return INTERRUPTED


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


def _complain(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code
