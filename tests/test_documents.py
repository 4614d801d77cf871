"""What README.md, CONTRIBUTING.md and docs/ tell people to type works, and their links lead on."""

import importlib.metadata
import os
import re
import shlex
import tomllib

import pytest

from kimi_demo.__main__ import COMMAND_LINE, main
from kimi_demo.settings import Settings
from tests.documents import DOCUMENTS, ROOT, examples
from training.__main__ import COMMAND_LINE as TRAINING

MARKERS = {"ci: test", "ci: start", "test: api", "test: live", "test: browser"}
MARKERS |= {"test: run", "test: parse"}


def commands(marker):
    return [line for example in examples(marker) for line in example.lines()]


def test_every_example_is_run_by_a_test():
    assert {example.marker for example in examples()} == MARKERS
    (test,) = examples("ci: test")
    assert test.document == "README.md"


@pytest.mark.parametrize("command", commands("test: run"))
@pytest.mark.slow
def test_the_commands_run(command, tmp_path_factory, monkeypatch, capsys):
    """In their order, in one folder, so that one may read what another wrote."""
    folder = tmp_path_factory.getbasetemp() / "commands"
    folder.mkdir(exist_ok=True)
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(folder)
    python, _, package, *arguments = shlex.split(command)
    assert (python, package) == ("python", "kimi_demo")
    assert main(arguments) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", commands("test: parse"))
def test_what_cannot_be_run_here_is_understood(command):
    words = shlex.split(command)
    while "=" in words[0]:  # the environment
        words.pop(0)
    match words:
        case ["python", "app.py", *arguments]:
            assert Settings.from_command_line(arguments, {})
        case ["python", "-m", "kimi_demo", *arguments]:
            assert COMMAND_LINE.build_parser().parse_args(arguments).command == arguments[0]
        case ["python", "-m", "training", *arguments]:
            assert arguments == ["--help"] or arguments[0] in TRAINING.commands
        case ["python", "-m", "pytest", *paths]:
            assert all((ROOT / path.partition("::")[0]).exists() for path in paths)
        case ["scripts/check", *_]:
            assert os.access(ROOT / "scripts/check", os.X_OK)
        case _:
            pytest.fail(f"no test knows how to check: {command}")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path):
    targets = re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8"))
    own = [target for target in targets if "://" not in target]
    assert [target for target in own if not (path.parent / target).exists()] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_installed_command_is_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, target),) = project["scripts"].items()
    point = importlib.metadata.EntryPoint(name, target, "console_scripts")
    assert (name, point.load()) == ("kimi-demo", main)
    assert (ROOT / "kimi_demo" / "py.typed").is_file()


def test_the_changelog_tells_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
