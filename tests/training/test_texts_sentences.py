import random
import re

import pytest

from training.texts.sentences import (
    HANZI,
    english_sentences,
    is_held_out,
    mandarin_sentences,
    wordnet_examples,
)


def test_one_sentence_in_forty_is_held_out_whatever_its_case_and_marks() -> None:
    sentences = english_sentences()
    held_out = [text for text in sentences if is_held_out(text)]
    assert 0.02 < len(held_out) / len(sentences) < 0.03
    assert all(is_held_out(text.upper().replace(".", "!")) for text in held_out)


def test_english_sentences_are_written_out_and_occur_once() -> None:
    sentences = english_sentences()
    assert len(sentences) > 40_000
    assert len({text.lower() for text in sentences}) == len(sentences)
    assert all(text[-1] in ".!?" and not text[0].islower() for text in sentences)
    assert "He lives on Nassau Street." in sentences


def test_a_folder_without_wordnet_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="wordnet"):
        wordnet_examples(tmp_path)


def test_mandarin_sentences_hold_common_characters_and_end() -> None:
    sentences = mandarin_sentences(random.Random(1), 2_000)
    assert sentences == mandarin_sentences(random.Random(1), 2_000)
    assert all(re.fullmatch(r"[\u4e00-\u9fff0-9，、%]+[。？！]", text) for text in sentences)
    assert set(re.findall("[\u4e00-\u9fff]", "".join(sentences))) <= set(HANZI)
    assert len(set(sentences)) > 1_900


def test_the_vocabulary_of_hanzi_has_its_size() -> None:
    assert 3_000 <= len(HANZI) <= 3_500
    assert set("的一是不了奇米") <= set(HANZI)
