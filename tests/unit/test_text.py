"""Spoken forms of written text."""

import pytest

from kimi_demo.text import NORMALIZERS, spoken_english, unchanged


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello, World!", "hello, world!"),
        ("It’s 7:30.", "it's seven thirty."),
        ("at 9:05", "at nine oh five"),
        ("at 12:00", "at twelve o'clock"),
        ("20°", "twenty degrees"),
        ("50% of 1,984", "fifty percent of one thousand nine hundred and eighty four"),
        ("57+32=89", "fifty seven plus thirty two equals eighty nine"),
        ("9 - 4", "nine minus four"),
        ("the 21st", "the twenty first"),
        ("3.5", "three point five"),
        ("call 1234567890", "call one two three four five six seven eight nine zero"),
        ("naïve café", "naive cafe"),
        ('semi-final; (really) "so"', "semi final really so"),
        ("a\n\tb", "a b"),
        ("你好", ""),
        ("", ""),
    ],
)
def test_english_is_spelled_out(written, spoken):
    assert spoken_english(written) == spoken


@pytest.mark.parametrize("text", ["7:30 & 21st", "x = 1,000.5%", "o'clock", "..."])
def test_spelling_out_twice_changes_nothing(text):
    once = spoken_english(text)
    assert spoken_english(once) == once


def test_the_other_normalizer_keeps_text_as_it_is():
    assert NORMALIZERS["none"] is unchanged
    assert unchanged(" Ä 1\n") == " Ä 1\n"
