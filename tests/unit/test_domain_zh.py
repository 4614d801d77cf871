"""The Mandarin sentences of the domain: their form, their variety, and what is held out."""

import random
import re

import pytest

from training import domain_zh, grammar, numerals_zh
from training.sentences import HELD_OUT_PERIOD


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    rng = random.Random(11)
    return [domain_zh.SENTENCES.draw_for_training(rng) for _ in range(12_000)]


def test_same_generator_state_gives_the_same_sentences() -> None:
    first, second, other = random.Random(3), random.Random(3), random.Random(4)
    spoken = [domain_zh.SENTENCES.draw_for_training(first) for _ in range(100)]
    assert spoken == [domain_zh.SENTENCES.draw_for_training(second) for _ in range(100)]
    assert spoken != [domain_zh.SENTENCES.draw_for_training(other) for _ in range(100)]


def test_sentences_are_hanzi_of_the_promised_length_with_a_final_mark(sentences: list[str]) -> None:
    for text in sentences:
        assert re.fullmatch(r"[\u4e00-\u9fff]+(，[\u4e00-\u9fff]+)*[。？]", text), text
        assert len(domain_zh.hanzi_of(text)) in domain_zh.SENTENCES.lengths, text


def test_the_declared_characters_are_exactly_those_spoken(sentences: list[str]) -> None:
    declared = domain_zh.characters()
    assert len(declared) == len(set(declared)) <= 420
    assert set(domain_zh.hanzi_of("".join(sentences))) == set(declared)


def test_words_are_short_and_as_many_as_promised() -> None:
    words = domain_zh.domain_words()
    assert 300 <= len(words) == len(set(words)) <= 500
    assert max(map(len, words)) <= 2


def test_sentences_seldom_repeat(sentences: list[str]) -> None:
    assert len(set(sentences[:3000])) >= 2000


def test_every_slot_of_the_grammar_is_defined() -> None:
    rules = domain_zh.rules()
    for name, (texts, _) in rules.items():
        for slot in grammar.SLOT.finditer(" ".join(texts)):
            assert slot[1] in rules or slot[1] in numerals_zh.SLOTS, f"[{name}] asks for {slot[1]}"


def test_held_out_sentences_are_never_trained_on(sentences: list[str]) -> None:
    assert not any(map(domain_zh.SENTENCES.is_held_out, sentences))
    held_out = domain_zh.SENTENCES.read_held_out()
    assert len({domain_zh.hanzi_of(text) for text in held_out}) == len(held_out) == 100
    for text in held_out:
        assert domain_zh.SENTENCES.is_held_out(text.rstrip("。？").replace("，", " ")), text
        assert 4 <= len(domain_zh.hanzi_of(text)) <= 14, text


def test_the_committed_held_out_sentences_are_those_of_the_grammar() -> None:
    assert domain_zh.SENTENCES.read_held_out() == domain_zh.SENTENCES.build_held_out()


def test_one_sentence_in_forty_is_held_out() -> None:
    drawn = [
        f"{a}{b}" for a in domain_zh.domain_words()[:100] for b in domain_zh.characters()[:200]
    ]
    share = sum(map(domain_zh.SENTENCES.is_held_out, drawn)) / len(drawn)
    assert share == pytest.approx(1 / HELD_OUT_PERIOD, rel=0.15)


@pytest.mark.parametrize(
    ("number", "spoken"),
    [(0, "零"), (2, "二"), (10, "十"), (12, "十二"), (20, "二十"), (99, "九十九")],
)
def test_numbers_are_read_out(number: int, spoken: str) -> None:
    assert numerals_zh.in_hanzi(number) == spoken


def test_a_lone_two_is_liang_before_a_measure_word() -> None:
    assert [numerals_zh.counted(number) for number in (2, 12, 20)] == ["两", "十二", "二十"]


def test_sums_are_right() -> None:
    value = {numerals_zh.in_hanzi(number): number for number in range(100)}
    rng = random.Random(2)
    for _ in range(300):
        first, sign, second, _, answer = re.fullmatch(
            r"(.+)([加减])(.+?)(等于|是)(.+)", numerals_zh.SLOTS["sum"](rng)
        ).groups()
        change = value[second] if sign == "加" else -value[second]
        assert value[first] + change == value[answer]


def test_languages_without_forms_refuse_them() -> None:
    rules = {"word": (("书",), (1,)), "plural": (("{word+s}",), (1,))}
    with pytest.raises(ValueError, match="no form 's'"):
        grammar.expand("plural", random.Random(0), rules, {})
