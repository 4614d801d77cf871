"""The learned text ids: files that repeat, one id a character, pieces that nobody sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary
from tests.training import toy
from training import text_tokenizer
from training.alphabet import SILENT, units
from training.shards import Utterance, read_lines
from training.text_tokenizer import (
    common_pieces,
    learn_ranks,
    piece_token,
    pieces_of,
    text_ids_of,
    train,
    with_characters,
)

TEXTS = ["The weather is fine today.", "Is the weather fine?", "Where is the cat?"] * 5
HANZI = "你好他们，"
PIECES = [SILENT, "a", "ma→", "ab"]
AWKWARD = ["", "The other theatre", "你好，Kimi。", "🎙️ naïve\r\n\ttab ", "<|p:a|><|im_msg_end|>"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return train(TEXTS, HANZI, PIECES, tmp_path_factory.mktemp("text"))


def test_the_same_texts_give_the_same_files(tmp_path: Path) -> None:
    train(TEXTS, HANZI, PIECES, tmp_path / "a")
    train(iter(TEXTS), set(HANZI), PIECES, tmp_path / "b")
    for name in ("tiktoken.model", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_frequent_words_are_few_ids_and_every_text_survives(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.encode(" weather")) == 1
    assert [tokenizer.decode(tokenizer.encode(text)) for text in AWKWARD] == AWKWARD


def test_every_character_is_one_id_whatever_stands_beside_it(tokenizer: TextTokenizer) -> None:
    for character in {*HANZI, *text_tokenizer.MARKS}:
        assert len(tokenizer.encode(character)) == 1, character
    assert len(tokenizer.encode("他们好，你好。")) == 7
    assert tokenizer.encode("鑫") == list("鑫".encode())  # unknown ones are bytes


def test_characters_come_behind_the_merges_and_change_none() -> None:
    ranks = learn_ranks(TEXTS, 30)
    more = with_characters(ranks, "好你好")
    assert {piece: more[piece] for piece in ranks} == ranks
    assert sorted(more.values()) == list(range(len(more)))
    assert {"你".encode(), "好".encode()} <= more.keys()
    assert 256 + 15 < len(ranks) <= 256 + 30


def test_pieces_are_special_ids_that_are_never_shown(tokenizer: TextTokenizer) -> None:
    assert pieces_of(tokenizer) == PIECES
    ids = [tokenizer.special_ids[piece_token(piece)] for piece in PIECES]
    assert ids == sorted(ids)
    assert tokenizer.decode([*ids, *tokenizer.encode("hi"), *ids]) == "hi"
    assert not set(tokenizer.encode(piece_token("a"))) & set(ids)  # nobody can type them


def test_control_tokens_and_pad_stand_below_the_codes(tokenizer: TextTokenizer) -> None:
    text_ids = text_ids_of(tokenizer)
    vocabulary = Vocabulary.from_names(tokenizer.special_ids, text_ids, text_ids - 1)
    assert vocabulary.audio_id(0) == text_ids
    assert max(tokenizer.special_ids.values()) < vocabulary.pad
    named = {name for name in tokenizer.special_ids if "reserved" in name}
    assert not named  # what the release keeps free costs no rows here


def test_common_pieces_hold_all_units_of_both_languages(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [u for path in sorted(shards.glob("*.jsonl")) for u in read_lines(path)]
    singles = {language: singles_of(said, language) for language in ("en", "zh")}
    size = max(map(len, singles.values())) + 3
    monkeypatch.setattr(text_tokenizer, "PIECES", dict.fromkeys(singles, size))
    pieces = common_pieces(said)
    assert pieces[0] == SILENT
    assert singles["en"] | singles["zh"] <= set(pieces)
    assert len(pieces) == len(set(pieces)) <= 2 * size


def singles_of(said: list[Utterance], language: str) -> set[str]:
    return {unit for u in said if u.language == language for _, unit in units(u)}


def test_the_command_learns_from_timed_texts(tmp_path: Path) -> None:
    rows = [toy.row_of(text, "en", "af_heart") for text in toy.ENGLISH]
    rows += [toy.row_of(text, "zh", "zf_xiaoxiao") for text in toy.MANDARIN]
    timed = tmp_path / "timed.jsonl"
    timed.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    parser = text_tokenizer.argparse.ArgumentParser()
    text_tokenizer.add_arguments(parser)
    text_tokenizer.run(parser.parse_args(["--timed", str(timed), "--out", str(tmp_path / "text")]))
    learned = TextTokenizer.load(tmp_path / "text")
    assert len(learned.encode("今天很好。")) == 5
    assert {"a→", "a", "m", SILENT} <= set(pieces_of(learned))
