"""How texts are pronounced in the model's hidden tokens: nothing is lost, phones are known."""

from __future__ import annotations

import random

import pytest

from training import dialogue, domain, domain_zh
from training.phones import ENGLISH_PHONES, MANDARIN_PHONES
from training.pronunciation import Pronouncer
from training.synthesizers import SynthesizerUnavailableError


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    made = Pronouncer()
    try:
        made.phones("hello")
        made.phones("你")
    except SynthesizerUnavailableError as error:
        pytest.skip(str(error))
    return made


@pytest.mark.parametrize(
    "text",
    [
        "hello, my name is kimi.",
        "don't you know what time it is?",
        "",
        "  two  spaces ",
        "你好，今天天气很好。",
        "“你叫什么名字？”",
        "我会说英语。",
    ],
)
def test_the_pieces_are_the_text(pronouncer: Pronouncer, text: str) -> None:
    assert "".join(word.written for word in pronouncer(text)) == text


def test_every_word_of_the_domains_has_known_phones(pronouncer: Pronouncer) -> None:
    for word in domain.domain_words():
        phones = pronouncer.phones(word)
        assert phones, word
        assert set(phones) <= set(ENGLISH_PHONES), word
    for character in domain_zh.characters():
        phones = pronouncer.phones(character)
        assert phones, character
        assert set(phones) <= set(MANDARIN_PHONES), character


@pytest.mark.parametrize("language", ["en", "zh"])
def test_dialogues_are_pronounced_whole(pronouncer: Pronouncer, language: str) -> None:
    rng = random.Random(3)
    for _ in range(60):
        for exchange in dialogue.draw(rng, language).exchanges:
            for text in (exchange.question, exchange.answer):
                words = pronouncer(text)
                assert "".join(word.written for word in words) == text
                assert all(word.phones for word in words), text


def test_mandarin_sentences_have_a_syllable_for_every_hanzi(pronouncer: Pronouncer) -> None:
    rng = random.Random(4)
    for _ in range(60):
        text = domain_zh.SENTENCES.draw_for_training(rng)
        words = pronouncer(text)
        assert len(words) == len(domain_zh.hanzi_of(text))
        assert all(word.phones for word in words), text


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("don't", "d ow n t"),
        ("it's", "ih t s"),
        ("i'm", "ay m"),
        ("i", "ay"),
        ("Hello,", "hh ax l ow"),
        ("马", "zh:m zh:a3"),
        ("天。", "zh:t zh:ie1 zh:n"),
    ],
)
def test_known_words(pronouncer: Pronouncer, word: str, phones: str) -> None:
    assert pronouncer.phones(word) == phones.split()


def test_the_same_word_sounds_the_same_with_any_mark(pronouncer: Pronouncer) -> None:
    plain, *marked = (pronouncer.phones(text) for text in ("window", "window.", " window?"))
    assert marked == [plain, plain]
