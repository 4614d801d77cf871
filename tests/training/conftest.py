"""What the tests of training share. Nothing here needs a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kimi_demo.model.text_tokenizer import TextTokenizer
from tests.training import toy
from training.cache import Cache, build
from training.checkpoint import task_table
from training.examples import ExampleWriter
from training.shards import read_shards
from training.text_tokenizer import common_pieces, train
from training.texts.sentences import WORDNET


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without WordNet nothing can be said about sentences made of it."""
    if WORDNET.is_dir():
        return
    skip = pytest.mark.skip(reason="WordNet is missing: install Debian's wordnet-base")
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name.startswith("test_texts_"):
            item.add_marker(skip)


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
    texts = {language: (*texts[language][:3], toy.QUESTIONS[language]) for language in texts}
    rows = [toy.row_of(t, language, voice) for language, voice in HEARD for t in texts[language]]
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


@pytest.fixture(scope="module")
def text_tokenizer(
    tiny: None, cache: Cache, tmp_path_factory: pytest.TempPathFactory
) -> TextTokenizer:
    """Text ids with every piece of the toy speech."""
    utterances = [entry.utterance for entry in cache.entries]
    hanzi = "".join(toy.MANDARIN)
    pieces = common_pieces(utterances)
    return train(toy.ENGLISH, hanzi, pieces, tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def writer(text_tokenizer: TextTokenizer) -> ExampleWriter:
    return ExampleWriter(text_tokenizer, task_table())


@pytest.fixture(scope="module")
def heard_cache(cache: Cache) -> Cache:
    """The cache with two passes of made-up ears: every row tells which one it is."""
    for number in (0, 1):
        toy.pretend_to_hear(cache, number)
    return Cache(cache.root)
