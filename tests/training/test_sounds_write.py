"""The writer of labelled sounds."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from training.sounds import write
from training.sounds.items import draw


def test_written_sounds_are_read_as_they_were(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    write.add_arguments(parser)
    write.run(parser.parse_args(["--out", str(tmp_path), "--count", "3", "--seed", "5"]))
    rng = np.random.default_rng(5)
    found = list(write.read(tmp_path / "train"))
    assert len(found) == 3
    for sound in found:
        expected = draw(rng)
        assert sound.tasks == expected.tasks
        np.testing.assert_allclose(sound.waveform, expected.waveform, atol=2e-5)


def test_folder_without_shards_is_named(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    write.add_arguments(parser)
    asked = parser.parse_args(["--out", str(tmp_path), "--speech", str(tmp_path)])
    with pytest.raises(FileNotFoundError, match="no shard of hear"):
        write.run(asked)
