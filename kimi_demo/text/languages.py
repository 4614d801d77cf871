"""Which language is meant, and how texts that follow each other are joined in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

from kimi_demo.errors import InputError
from kimi_demo.text.mixed import language_of

DETECT = "detect"
NAMES = {"en": "English", "zh": "Mandarin"}


def chosen_language(language: str, possible: Collection[str]) -> str:
    """The code that was chosen, or "" if it is to be detected.

    Raises: InputError for a language that is not among the possible ones.
    """
    if language in ("", DETECT):
        return ""
    if language not in possible:
        choices = ", ".join((DETECT, *possible))
        raise InputError(
            f"there is no language {language!r} here: choose one of {choices}", param="language"
        )
    return language


def spoken_language(text: str, hint: str = "") -> str:
    """The language of a transcript. The hint, unless no letter of the text is written in it: then
    it was wrong, and the script tells.
    """
    if hint and hint not in NAMES:
        return hint  # the script cannot tell it from others
    letters = [character for character in text if character.isalpha()]
    if hint and (not letters or any(language_of(letter) == hint for letter in letters)):
        return hint
    return language_of(text)


def named(codes: Iterable[str]) -> str:
    """Codes as people say them: ("en", "zh") -> "English and Mandarin"."""
    return " and ".join(NAMES.get(code, code) for code in codes)


def joint(left: str, right: str) -> str:
    """What stands between two texts: a space, unless one side is written without spaces."""
    edges = left[-1:] + right[:1]
    return "" if any(unicodedata.east_asian_width(edge) in "WF" for edge in edges) else " "


def flowing(texts: Iterable[str]) -> str:
    whole = ""
    for text in texts:
        whole += joint(whole, text) + text if whole and text else text
    return whole
