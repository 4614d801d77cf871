"""Characters: every text is brought to ASCII, simplified hanzi and a few signs, or refused."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from kimi_demo.errors import InputError

if TYPE_CHECKING:
    from opencc import OpenCC

HAN = r"\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
MARKS = "，。？！；：、“”"
HANZI = re.compile(f"[{HAN}]")

_SIGNS = "°×÷≤≥≈≠±€£¥₩₹§‰–—‘’"
_KEPT = re.compile(f"[\\x20-\\x7e{HAN}{MARKS}{_SIGNS}]")
_SAME = {
    **dict.fromkeys("〇", "零"),
    **dict.fromkeys("−‐‑‒", "-"),
    **dict.fromkeys("―⸺", "—"),
    **dict.fromkeys("〜∼", "~"),
    **dict.fromkeys("「『«„", "“"),
    **dict.fromkeys("」』»‟", "”"),
    **dict.fromkeys("（［【〔｛（", "("),
    **dict.fromkeys("）］】〕｝）", ")"),
    **{
        "｡": "。",
        "､": "、",
        "ʼ": "’",
        "∶": ":",
        "⁄": "/",
        "∕": "/",
        "￥": "¥",
        "ß": "ss",
        "™": " ",
    },
}
_LATIN = re.compile(r"LATIN (SMALL|CAPITAL) (?:LETTER|LIGATURE) ([A-Z]{1,2})(?: WITH .*)?")
_GREEK = r"\u0370-\u03ff"
_GREEK_LETTER = re.compile(f"(?<![{_GREEK}])[{_GREEK}](?![{_GREEK}])")
_MICRO = re.compile(r"(?<=\d)(\s?)μ(?=[mgslLAFW]\b)")
_OHM = re.compile(r"(?<=\d)(\s?[kM]?)Ω")
_SCRIPTS = {
    "HIRAGANA": "Japanese kana",
    "KATAKANA": "Japanese kana",
    "HANGUL": "Korean",
    "LATIN": "phonetic or foreign Latin letters",
}


def plain(text: str) -> str:
    """ASCII, simplified hanzi, MARKS and a few signs; emoji and other decoration become spaces.

    Accents are dropped, digits of any script become ASCII, a high 2 becomes ^2, ½ becomes 1/2, and
    a Greek letter on its own its name.
    Raises: InputError that names the script of letters that nobody here can read.
    """
    text = "".join(map(_plain_character, text))
    text = _OHM.sub(r"\1Ohm", _MICRO.sub(r"\1u", text))
    text = _GREEK_LETTER.sub(_name, text)
    _check_scripts(text)
    if HANZI.search(text):
        text = _simplifier().convert(text)
    return "".join(c if _KEPT.match(c) else " " for c in text)


@lru_cache(maxsize=4096)
def _plain_character(character: str) -> str:
    if character in MARKS or character.isascii():
        return character if character.isprintable() else " "
    if character in _SAME:
        return _SAME[character]
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    if kind and not kind.startswith("<"):
        kind, codes = "", [kind, *codes]
    if codes:
        return _composed(kind, "".join(_plain_character(chr(int(code, 16))) for code in codes))
    if latin := _LATIN.fullmatch(unicodedata.name(character, "")):
        return latin[2] if latin[1] == "CAPITAL" else latin[2].lower()
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    return character


def _composed(kind: str, parts: str) -> str:
    """What a character stands for that is made of others."""
    if kind == "<fraction>":
        return f" {parts}"
    if kind == "<super>" and parts.isdecimal():
        return f"^{parts}"
    return parts


def _name(greek: re.Match[str]) -> str:
    return f" {unicodedata.name(greek[0]).split()[-1].lower()} "


def _check_scripts(text: str) -> None:
    for character in text:
        if character.isalpha() and not _KEPT.match(character):
            script = unicodedata.name(character, "unknown").split()[0]
            run = re.search(rf"[^\W\d_]*{re.escape(character)}[^\W\d_{HAN}]*", text)
            sample = run[0][:12] if run else character
            raise InputError(
                f"“{sample}” cannot be spoken ({_SCRIPTS.get(script, script.title())}): "
                "write it in English or Chinese"
            )


@lru_cache(maxsize=1)
def _simplifier() -> OpenCC:
    """Loaded by the first text with hanzi."""
    from opencc import OpenCC

    return OpenCC("t2s")
