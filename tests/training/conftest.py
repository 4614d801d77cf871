"""What the tests of training share. Nothing here needs a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training import toy
from training.cache import Cache, build
from training.shards import read_shards

HEARD = (("en", "am_puck"), ("en", "bf_emma+0.25*am_puck"), ("zh", "zm_yunxi"))


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of tones: both output voices, and others."""
    folder = tmp_path_factory.mktemp("shards")
    toy.write_shard(folder / "out-en-1-000", [toy.row_of(t, "en", "af_heart") for t in toy.ENGLISH])
    toy.write_shard(
        folder / "out-zh-1-000", [toy.row_of(t, "zh", "zf_xiaoxiao") for t in toy.MANDARIN]
    )
    texts = {"en": toy.ENGLISH, "zh": toy.MANDARIN}
    rows = [toy.row_of(t, lang, voice) for lang, voice in HEARD for t in texts[lang][:4]]
    toy.write_shard(folder / "hear-1-000", rows)
    return folder


@pytest.fixture(scope="module")
def cache(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """A cache of the shards that a module may add arrays to."""
    sounds = read_shards([shards], ["out-en", "out-zh", "hear"])
    return build(sounds, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    """Tiny sizes of every part."""
    with pytest.MonkeyPatch.context() as patch:
        toy.shrink(patch)
        yield


@pytest.fixture(scope="module")
def small_texts() -> Iterator[None]:
    """The texts of training without WordNet."""
    with pytest.MonkeyPatch.context() as patch:
        yield from toy.without_wordnet(patch)


@pytest.fixture(scope="module")
def whisper(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like faster-whisper's, with an encoder of random weights."""
    folder = tmp_path_factory.mktemp("whisper")
    toy.write_variables(folder / "model.bin", toy.whisper_variables(32))
    return folder
