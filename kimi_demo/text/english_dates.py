"""Dates and times of day in English: "2026-11-24", "Nov 24", "3pm" and what is said for them."""

from __future__ import annotations

import re
from datetime import date

from kimi_demo.text.english_numbers import digits, number, ordinal, plural, year
from kimi_demo.text.rules import Rule, rule

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_MONTH = "|".join(
    name if len(name) < 4 else f"{name}|Sept\\.?|{name[:3]}\\.?" if name[0] == "S"
    else f"{name}|{name[:3]}\\.?" for name in _MONTHS
)  # fmt: skip
_DAY = r"(?:3[01]|[12]\d|0?[1-9])(?!\d)(?:st|nd|rd|th)?"
_HALF_DAY = r"\s?([APap])[Mm](?![A-Za-z])"
# What follows a year tells that it is none: "1500 people", "2000 miles".
_COUNTED = frozenset(("people", "men", "women", "children", "or", "more"))
_NO_NOUNS = frozenset(("was", "is", "has", "as", "this", "its", "does"))


def _date(month: int, day: int, of_year: str = "") -> str:
    said = f"{_MONTHS[month - 1]} {ordinal(day)}"
    return f"{said}, {_year(of_year)}" if of_year else said


def _year(written: str) -> str:
    if len(written) == 2:
        return year(int(written) + (2000 if written < "50" else 1900))
    return digits(written) if written[0] == "0" else year(int(written))


def _iso_date(match: re.Match[str]) -> str:
    return _valid_date(match, int(match[2]), int(match[3]), match[1])


def _slashed_date(match: re.Match[str]) -> str:
    """Month first, as Americans write; day first where that cannot be, and with full stops."""
    first, second = int(match[1]), int(match[3])
    day_first = first > 12 or match[2] == "."
    month, day = (second, first) if day_first else (first, second)
    return _valid_date(match, month, day, match[4])


def _valid_date(match: re.Match[str], month: int, day: int, of_year: str) -> str:
    try:
        date(2000, month, day)
    except ValueError:
        return " ".join(number(part) for part in re.findall(r"\d+", match[0]))
    return _date(month, day, of_year)


def _month(written: str) -> int:
    return next(n for n, name in enumerate(_MONTHS, 1) if name[:3] == written[:3])


def _month_day(match: re.Match[str]) -> str:
    return _date(_month(match[1]), _day(match[2]), match[3] or "")


def _day_month(match: re.Match[str]) -> str:
    said = f"the {ordinal(_day(match[1]))} of {_MONTHS[_month(match[2]) - 1]}"
    return f"{said}, {_year(match[3])}" if match[3] else said


def _day(written: str) -> int:
    return int(re.sub(r"\D", "", written))


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = int(match[1]), int(match[2]), match[3]
    said = number(str(hour))
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{number(str(minute))}"
    elif not match[4] and not second:
        said += " o'clock" if 0 < hour <= 12 else " hundred hours"
    if second:
        said += f" and {number(str(int(second)))} second{'' if int(second) == 1 else 's'}"
    return said + _half_day(match, 4)


def _hour(match: re.Match[str]) -> str:
    return number(match[1]) + _half_day(match, 2)


def _half_day(match: re.Match[str], group: int) -> str:
    return f" {match[group].upper()} M" if match[group] else ""


def _decade(match: re.Match[str]) -> str:
    return plural(year(int(match[1])) if len(match[1]) == 4 else number(match[1]))


def _year_or_number(match: re.Match[str]) -> str:
    after = match[2] or ""
    many = after.endswith("s") and after not in _NO_NOUNS
    return number(match[1]) if many or after in _COUNTED else year(int(match[1]))


DATES: tuple[Rule, ...] = (
    rule(r"(?<![\w.,])(?:'|(?<=the )|(?=\d{4}))(\d{3}0|\d0)s\b", _decade),
    rule(r"(?<![\d-])(\d{4})-(\d{1,2})-(\d{1,2})(?![\d-])(?:T(?=\d))?", _iso_date),
    rule(r"(?<![\d/])(\d{4})/(\d{1,2})/(\d{1,2})(?![\d/])", _iso_date),
    rule(r"(?<![\d/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?![\d/]|[.-]\d)", _slashed_date),
    rule(rf"\b({_MONTH}) ({_DAY})(?![:\d])(?:,? (\d{{4}})(?![\d:]))?", _month_day),
    rule(rf"\b(?:the )?({_DAY})(?: of)? ({_MONTH})(?![a-z])(?:,? (\d{{4}})(?![\d:]))?", _day_month),
    rule(rf"\b({_MONTH}),? (?=\d{{4}}\b)", lambda m: _MONTHS[_month(m[1]) - 1] + " "),
)
TIMES: tuple[Rule, ...] = (
    rule(rf"\b([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?:{_HALF_DAY})?(?!\d|:\d)", _clock),
    rule(rf"\b(1[0-2]|0?[1-9]){_HALF_DAY}", _hour),
)
YEARS: tuple[Rule, ...] = (
    rule(r"(?<![\w.,])(1[1-9]\d\d|20\d\d)(?![\w]|[.,]\d)(?=(?: ([a-z]+))?)", _year_or_number),
)
