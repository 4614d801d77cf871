"""From text as people write it to what a voice says, and to words that can be compared."""

import re

import zhconv

from kimi_demo.text import spoken
from kimi_demo.text.mandarin import spoken_mandarin

_HANZI = re.compile("[\u4e00-\u9fff]")
_WORD = re.compile(r"[a-z']+|[\u4e00-\u9fff]")
_NAME = re.compile("(?<![a-z])kimi(?![a-z])", re.IGNORECASE)


def as_spoken(text: str, language: str) -> str:
    """Numbers and signs as words: "6 plus 2 is 8." -> "six plus two is eight.".

    In Mandarin (language "zh") the name Kimi is said 奇米.

    Raises: InputError that names the script of letters that cannot be spoken.
    """
    if language == "en":
        return spoken(text)
    text = _NAME.sub("奇米", text)
    return spoken(text) if _HANZI.search(text) else spoken_mandarin(text)  # digits are of both


def spoken_words(text: str, language: str) -> list[str]:
    """Lower-case words, or single simplified hanzi, without case, marks and digits.

    Two texts with equal words sound the same, so this finds the recording of a text.
    """
    said = as_spoken(text.lower(), language).lower()  # capitals alone would be spelled
    return _WORD.findall(zhconv.convert(said, "zh-cn") if language == "zh" else said)
