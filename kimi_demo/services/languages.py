"""Which language is meant, and how texts that follow each other are joined in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

from kimi_demo.errors import InputError

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


def named(codes: Iterable[str]) -> str:
    """Codes as people say them: ("en", "zh") -> "English and Mandarin"."""
    return " and ".join(NAMES.get(code, code) for code in codes)


def joint(left: str, right: str) -> str:
    """What stands between two texts: a space, unless one side is written without spaces."""
    edges = left[-1:] + right[:1]
    return "" if any(unicodedata.east_asian_width(edge) in "WF" for edge in edges) else " "


def flowing(texts: Iterable[str]) -> str:
    """Texts one after the other in one paragraph."""
    whole = ""
    for text in texts:
        whole += joint(whole, text) + text if whole and text else text
    return whole
