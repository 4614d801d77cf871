"""Text of English and Mandarin: which is which, and each in its spoken form."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Literal

from kimi_demo.text.english import spoken_english
from kimi_demo.text.mandarin import HAN, MARKS, spoken_mandarin

Language = Literal["zh", "en"]

_HANZI = re.compile(f"[{HAN}]")
_WORD = re.compile(rf"(?:(?![{HAN}_])[^\W\d])+(?:'\w+)?")
_SPOKEN = {"en": spoken_english, "zh": spoken_mandarin}
_FULL_WIDTH_MARKS = str.maketrans({"，": ", ", "。": ". ", "｡": ". ", "？": "? ", "！": "! "})
_HALF_WIDTH_MARKS = str.maketrans(",.?!", MARKS)
_MARK_BESIDE_HANZI = re.compile(f"(?<=[{HAN}])[,.?!]|[,.?!](?=[{HAN}])")
# What number and sign belong to Mandarin although English stands before: "I have 3个".
_NUMBER_BEFORE_HANZI = re.compile(rf"(?<![\w.])[-−¥$]?\d(?:[\d.,:/]*\d)?%?\s*(?=[{HAN}])")
# What would otherwise be taken for English words: "20°C", "5km".
_UNIT_AFTER_HANZI = re.compile(
    rf"(?<=[{HAN}])[^{HAN}A-Za-z]*\d\s*(?:°C|km|kg|cm|mm)(?![A-Za-z])", re.IGNORECASE
)


def language_of(text: str) -> Language:
    """The language most of the text is written in, by script: a character of Mandarin counts as
    much as an English word. English without any letters.
    """
    return "zh" if len(_HANZI.findall(text)) > len(_WORD.findall(text)) else "en"


def spoken(text: str) -> str:
    """English as `spoken_english` has it, Mandarin as `spoken_mandarin`, a space between words of
    both: "我叫Kimi，3岁。" -> "我叫 kimi，三岁。".
    """
    if not _HANZI.search(text):
        return spoken_english(text.translate(_FULL_WIDTH_MARKS))
    text = _unified(text)
    pieces = []
    for language, run in groupby(zip(_languages(text), text, strict=True), lambda pair: pair[0]):
        written = "".join(character for _, character in run)
        pieces.append(_SPOKEN[language](written))
    joined = " ".join(filter(None, pieces))
    return re.sub(rf"\s*([{MARKS}])\s*", r"\1", joined).lstrip(MARKS)


def _unified(text: str) -> str:
    """Full-width letters, digits and signs become ASCII, marks beside hanzi full-width."""
    text = re.sub(r"…+|\.{3,}|—+", "，", text).replace("｡", "。").replace("’", "'")
    text = re.sub(f"[^{MARKS}]+", lambda match: unicodedata.normalize("NFKC", match[0]), text)
    return _MARK_BESIDE_HANZI.sub(lambda match: match[0].translate(_HALF_WIDTH_MARKS), text)


def _languages(text: str) -> list[Language]:
    """The language of each character. Hanzi and their marks are Mandarin, letters are English;
    digits, signs and spaces go with what stands before them, at the start with what follows.
    """
    sure: list[Language | None] = [_by_script(character) for character in text]
    for pattern in (_NUMBER_BEFORE_HANZI, _UNIT_AFTER_HANZI):
        for match in pattern.finditer(text):
            sure[match.start() : match.end()] = ["zh"] * (match.end() - match.start())
    current: Language = next((language for language in sure if language), "en")
    languages = []
    for language in sure:
        current = language or current
        languages.append(current)
    return languages


def _by_script(character: str) -> Language | None:
    if character in MARKS or _HANZI.match(character):
        return "zh"
    return "en" if character.isalpha() else None
