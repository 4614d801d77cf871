"""The recipe in training's README: every command and option exists, in the order that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import training
from training.__main__ import COMMAND_LINE

README = Path(training.__file__).with_name("README.md").read_text(encoding="utf-8")
VALUES = {"whisper": "--whisper folder", "kind": "hear", "language": "zh", "seed": "2"}


def commands() -> list[list[str]]:
    """Arguments of each `python -m training` in the README's shell blocks."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
    lines = re.findall(r"python -m training (.*)", blocks)
    filled = (re.sub(r"\$(\w+)", lambda name: VALUES[name[1]], line) for line in lines)
    return [shlex.split(line.rstrip(" &"), comments=True) for line in filled]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_of_the_recipe_is_understood(arguments: list[str]) -> None:
    parser = COMMAND_LINE.build_parser()
    if "--help" in arguments:
        with pytest.raises(SystemExit) as ending:
            parser.parse_args(arguments)
        assert ending.value.code == 0
    else:
        assert parser.parse_args(arguments).command == arguments[0]


def test_the_recipe_leaves_no_command_out() -> None:
    assert set(COMMAND_LINE.commands) <= {arguments[0] for arguments in commands()}


def test_every_file_of_training_has_its_place() -> None:
    table = README[README.index("## Where what is") :]
    folder = Path(training.__file__).parent
    files = {path.name for path in folder.glob("*.py") if not path.name.startswith("__")}
    assert files <= set(re.findall(r"`([\w.]+\.py)`", table))
