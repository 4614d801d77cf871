"""Written English to spoken English."""

from __future__ import annotations

import re
import unicodedata

from num2words import num2words

_SYMBOLS = {
    "&": " and ",
    "%": " percent ",
    "+": " plus ",
    "=": " equals ",
    "@": " at ",
    "°": " degrees ",
}
_CLOCK = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)\b")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_MINUS = re.compile(r"(?<=[\d)])\s*[-−]\s*(?=\d)")
_UNSPOKEN = re.compile(r"[^a-z' .,?!]+")


def spoken_english(text: str) -> str:
    """Lower-case words without digits or symbols: "It's 7:30, 20°!" -> "it's seven thirty, twenty
    degrees!".
    """
    plain = unicodedata.normalize("NFKD", text.replace("’", "'")).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = _THOUSANDS.sub("", plain)
    plain = _MINUS.sub(" minus ", plain)
    for symbol, words in _SYMBOLS.items():
        plain = plain.replace(symbol, words)
    plain = _CLOCK.sub(_spoken_clock, plain)
    plain = _ORDINAL.sub(lambda m: " " + _words(num2words(int(m[1]), to="ordinal")) + " ", plain)
    plain = _NUMBER.sub(_spoken_number, plain)
    plain = _UNSPOKEN.sub(" ", plain)
    plain = re.sub(r"\s+", " ", plain)
    return re.sub(r" (?=[.,?!])", "", plain).strip()


def _spoken_clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute == 0:
        return f" {_words(num2words(hour))} o'clock "
    lead = "oh " if minute < 10 else ""
    return f" {_words(num2words(hour))} {lead}{_words(num2words(minute))} "


def _spoken_number(match: re.Match[str]) -> str:
    digits = match[0]
    if "." not in digits and len(digits) > 9:  # a telephone or serial number is read digit by digit
        return " " + " ".join(num2words(int(d)) for d in digits) + " "
    return f" {_words(num2words(float(digits) if '.' in digits else int(digits)))} "


def _words(text: str) -> str:
    return text.replace("-", " ").replace(",", "")
