"""The README's examples of the API run as they stand, but for the address."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kimi_demo import audio

ROOT = Path(__file__).parents[2]
ADDRESS = "http://localhost:7860"
_BLOCK = re.compile(r"<!-- test: api -->\n```(\w+)\n(.*?)```", re.DOTALL)


def example(language, site):
    blocks = dict(_BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert ADDRESS in blocks[language]
    return blocks[language].replace(ADDRESS, site.url)


@pytest.fixture
def folder(tmp_path):
    """A place with the repository's examples, for files to be written to."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(command, folder):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.lower()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_shell_lines_run(nano_site, folder):
    printed = run(["sh", "-ec", example("sh", nano_site)], folder)
    assert audio.read(folder / "speech.mp3").duration_s > 1
    assert '"error"' not in printed
    assert '"text"' in printed
    assert "woof" in printed


def test_the_program_runs(nano_site, folder):
    printed = run([sys.executable, "-c", example("python", nano_site)], folder)
    assert audio.read(folder / "speech.wav").duration_s > 0.5
    assert audio.read(folder / "answer.wav").duration_s > 0.5
    assert "paris" in printed
    assert len(printed.split()) >= 3
