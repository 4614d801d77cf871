"""Numbers in English words: num2words, without its hyphens and commas."""

from __future__ import annotations

NUMBER = r"(?<!\d)(?:\d{1,3}(?:,\d{3})+(?!\d|,\d)|\d+)(?:\.\d+)?"
_MAX_READ_DIGITS = 9  # longer ones are telephone or serial numbers and read digit by digit
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PARTS = {2: "half", 4: "quarter"}


def digits(written: str) -> str:
    """One by one: "42" -> "four two"."""
    return " ".join(_DIGITS[int(digit)] for digit in written if digit.isdecimal())


def number(written: str) -> str:
    """What NUMBER matches; a code (leading zero, or long without commas) digit by digit."""
    whole, _, fraction = written.partition(".")
    bare = whole.replace(",", "")
    coded = bare == whole and (len(bare) > _MAX_READ_DIGITS or (len(bare) > 1 and bare[0] == "0"))
    said = digits(bare) if coded or len(bare) > 60 else _words(int(bare))
    return f"{said} point {digits(fraction)}" if fraction else said


def ordinal(value: int) -> str:
    """21 -> "twenty first"."""
    return _words(value, to="ordinal")


def year(value: int) -> str:
    """1905 -> "nineteen oh five"."""
    return _words(value, to="year")


def fraction(over: int, under: int) -> str:
    """3, 4 -> "three quarters"; what has no such name is "over"."""
    if not 1 < under <= 100:
        return f"{_words(over)} over {_words(under)}"
    part = _PARTS.get(under) or ordinal(under)
    if over == 1:
        return f"one {part}"
    return f"{_words(over)} {'halve' if under == 2 else part}s"


def plural(words: str) -> str:
    """Of a number: "nineteen nineties", "twenties", "tens"."""
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _words(value: int, to: str = "cardinal") -> str:
    from num2words import num2words  # every language of it takes a while to import

    return num2words(value, to=to).replace("-", " ").replace(",", "")
