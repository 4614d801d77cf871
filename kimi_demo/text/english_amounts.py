"""Numbers in English with what stands beside them: money, units, telephones, ranges, fractions."""

from __future__ import annotations

import re

from kimi_demo.text.english_numbers import NUMBER, digits, fraction, number, ordinal
from kimi_demo.text.rules import Rule, any_of, rule

_CENTS = ("cent", "cents")
# One, many, and the hundredth part where people say it.
_MONEY: dict[str, tuple[str, ...]] = {
    "$": ("dollar", "dollars", *_CENTS),
    "US$": ("US dollar", "US dollars", *_CENTS),
    "HK$": ("Hong Kong dollar", "Hong Kong dollars", *_CENTS),
    "A$": ("Australian dollar", "Australian dollars", *_CENTS),
    "C$": ("Canadian dollar", "Canadian dollars", *_CENTS),
    "USD": ("dollar", "dollars", *_CENTS),
    "€": ("euro", "euros", *_CENTS),
    "EUR": ("euro", "euros", *_CENTS),
    "£": ("pound", "pounds", "penny", "pence"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen"),
    "JPY": ("yen", "yen"),
    "CNY": ("yuan", "yuan"),
    "RMB": ("yuan", "yuan"),
    "CHF": ("franc", "francs"),
    "₹": ("rupee", "rupees"),
    "₩": ("won", "won"),
}
_SIZES = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "B": "billion",
          "bn": "billion", "T": "trillion"}  # fmt: skip
_SIZE_WORDS = ("hundred", "thousand", "million", "billion", "trillion")
# One; many is one with an s unless it is given.
_UNITS: dict[str, tuple[str, ...]] = {
    "km": ("kilometer",), "m": ("meter",), "cm": ("centimeter",), "mm": ("millimeter",),
    "um": ("micrometer",), "nm": ("nanometer",), "mi": ("mile",), "ft": ("foot", "feet"),
    "in.": ("inch", "inches"), "kg": ("kilogram",), "g": ("gram",), "mg": ("milligram",),
    "ug": ("microgram",), "lb": ("pound",), "lbs": ("pound",), "oz": ("ounce",), "l": ("liter",),
    "L": ("liter",), "ml": ("milliliter",), "mL": ("milliliter",), "ha": ("hectare",),
    "h": ("hour",), "hr": ("hour",), "hrs": ("hour",), "min": ("minute",), "mins": ("minute",),
    "s": ("second",), "sec": ("second",), "secs": ("second",), "ms": ("millisecond",),
    "us": ("microsecond",), "ns": ("nanosecond",), "Hz": ("hertz",) * 2, "kHz": ("kilohertz",) * 2,
    "MHz": ("megahertz",) * 2, "GHz": ("gigahertz",) * 2, "kB": ("kilobyte",), "KB": ("kilobyte",),
    "MB": ("megabyte",), "GB": ("gigabyte",), "TB": ("terabyte",), "KiB": ("kibibyte",),
    "MiB": ("mebibyte",), "GiB": ("gibibyte",),
    "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"), "W": ("watt",), "kW": ("kilowatt",),
    "MW": ("megawatt",), "GW": ("gigawatt",), "kWh": ("kilowatt hour",), "V": ("volt",),
    "kV": ("kilovolt",), "mA": ("milliampere",), "mAh": ("milliampere hour",), "Ohm": ("ohm",),
    "kOhm": ("kilohm",), "MOhm": ("megohm",), "kJ": ("kilojoule",), "cal": ("calorie",),
    "kcal": ("kilocalorie",), "kPa": ("kilopascal",), "hPa": ("hectopascal",), "dB": ("decibel",),
    "mph": ("mile per hour", "miles per hour"), "rpm": ("revolution per minute",
    "revolutions per minute"), "fps": ("frame per second", "frames per second"), "px": ("pixel",),
    "%": ("percent",) * 2, "‰": ("per mille",) * 2, "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree",),
}  # fmt: skip
_PER = {**{unit: names[0] for unit, names in _UNITS.items() if unit.isalpha()},
        "hour": "hour", "day": "day", "night": "night", "week": "week", "month": "month",
        "mo": "month", "year": "year", "yr": "year", "person": "person"}  # fmt: skip
_POWERS = {"2": "square", "3": "cubic"}
_UNIT = rf"(?P<unit>{any_of(_UNITS)})(?:\^?(?P<power>[23]))?"
_SLASH = rf"(?:\s?/\s?(?P<per>{any_of(_PER)})(?![A-Za-z]))?"
_SIZE = rf"(?:\s?(?P<size>{any_of(_SIZE_WORDS)}|(?:{any_of(_SIZES)})(?![A-Za-z])))?"


def _counted(written: str, names: tuple[str, ...]) -> str:
    return f"{number(written)} {_named(written, names)}"


def _named(written: str, names: tuple[str, ...]) -> str:
    return names[0] if written == "1" else (*names, names[0] + "s")[1]


def _money(match: re.Match[str]) -> str:
    names = _MONEY[match["money"]]
    amount, size = match["amount"], match["size"]
    per = f" {_per(match)}" if match["per"] else ""
    upper = match.groupdict().get("upper")
    if size or upper:
        range_ = f" to {number(upper)}" if upper else ""
        size = f" {_SIZES.get(size, size)}" if size else ""
        return f"{number(amount)}{range_}{size} {names[1]}{per}"
    return _coins(amount, names) + per


def _coins(amount: str, names: tuple[str, ...]) -> str:
    """ "3.50" -> "three dollars and fifty cents"."""
    whole, _, part = amount.partition(".")
    if len(part) != 2 or not names[2:]:
        return _counted(amount, names[:2])
    said = [_counted(whole, names[:2])] if whole.strip("0") or part == "00" else []
    return " and ".join(said + ([_counted(part.lstrip("0"), names[2:])] if part != "00" else []))


def _measure(match: re.Match[str]) -> str:
    amount, power = match["amount"], match["power"]
    said = _named(amount, _UNITS[match["unit"]])
    said = f"{_POWERS[power]} {said}" if power else said
    return f"{number(amount)} {said}{' ' + _per(match) if match['per'] else ''}"


def _per(match: re.Match[str]) -> str:
    return f"per {_PER[match['per']]}"


def _phone(match: re.Match[str]) -> str:
    plus = "plus " if match[0].startswith("+") else ""
    return plus + ", ".join(digits(group) for group in re.findall(r"\d+", match[0]))


def _whole_and_fraction(match: re.Match[str]) -> str:
    part = fraction(int(match[2]), int(match[3]))
    return f"{number(match[1])} and {part.replace('one half', 'a half')}"


def _fraction(match: re.Match[str]) -> str:
    over, under = match[1], match[2]
    if (over, under) == ("24", "7"):
        return "twenty four seven"
    if under in ("10", "100") and int(over) <= int(under):
        return f"{number(over)} out of {number(under)}"
    return fraction(int(over), int(under))


def _between(match: re.Match[str]) -> str:
    """A dash between two numbers: a minus in a sum and between spaces, else a range."""
    in_sum = re.match(rf"\s*{NUMBER}\s*=", match.string[match.end() :])
    return " minus " if in_sum or re.fullmatch(r"\s+-\s+", match[0]) else " to "


def _version(match: re.Match[str]) -> str:
    name = "version" if match[1] == "v" else match[1]
    return f"{name} {' point '.join(number(part) for part in match[2].split('.'))}"


def _dotted(match: re.Match[str]) -> str:
    """1.2.3 of a program, 192.168.0.1 of a computer."""
    parts = match[0].split(".")
    return (" dot " if len(parts) == 4 else " point ").join(number(part) for part in parts)


# Flights, rooms and types: "CA1234" is no number of something.
CODES: Rule = rule(
    r"(?<![A-Za-z])[A-Z]{1,2}[ -]?\d{3,}(?![.,:]?\d|%|[a-z])",
    lambda m: " ".join(re.findall(r"[A-Z]+|\d", m[0])),
)
PHONES: tuple[Rule, ...] = (
    rule(r"\+\d[\d ().-]{6,18}\d(?!\d)", _phone),
    rule(r"(?<![\w-])(?:1[-. ])?\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w-])", _phone),
    rule(r"(?<![\w-])\d{3}-\d{4}(?![\w-])", _phone),
    rule(r"(?<=[Cc]all |[Dd]ial )\d{3}(?![\w,.-]\d)\b", _phone),
)
RANGES: tuple[Rule, ...] = (
    rule(r"(?<![\w-])\d+(?:-\d+){2,}(?![\w-])", _phone),
    rule(r"(?<![\w.])\.(?=\d)", "0."),
    rule(rf"(?<=\d)(\s?(?:{any_of(_UNITS)}|[ap]\.?m\.?))\s?[-–]\s?(?=[-$€£¥]?\d)", r"\1 to "),
    rule(r"(?<=\d)\s*[-–]\s*(?=\d)", _between),
    rule(r"(?<=[A-Za-z])\s?–\s?(?=[A-Za-z\d])", " to "),
    rule(r"(?<![A-Za-z\d)])[-–]\s?(?=[$€£¥]?\d)", "minus "),
    rule(r"(?<=\d)-(?=[A-Za-z])|(?<=[A-Za-z])-(?=\d)", " "),
)
AMOUNTS: tuple[Rule, ...] = (
    rule(
        rf"(?<![A-Za-z])(?P<money>{any_of(_MONEY)})\s?(?P<amount>{NUMBER})"
        rf"(?: to [$€£¥]?(?P<upper>{NUMBER}))?{_SIZE}{_SLASH}",
        _money,
    ),
    rule(rf"(?P<amount>{NUMBER}){_SIZE}\s?(?P<money>{any_of(_MONEY)})(?![A-Za-z]){_SLASH}", _money),
    rule(r"(?<!\d)(\d{1,2})'\s?(\d{1,2})(?:\"|''|(?=\W|$))", r"\1 foot \2"),
    rule(rf"(?P<amount>{NUMBER})\s?{_UNIT}(?![A-Za-z\d^]){_SLASH}", _measure),
    rule(r"\b(\d[\d,]*)(?:st|nd|rd|th)\b", lambda m: ordinal(int(m[1].replace(",", "")))),
    rule(rf"({NUMBER})(M|bn|k)\b", lambda m: f"{number(m[1])} {_SIZES[m[2]]}"),
    rule(r"\b(\d+) (\d+)/(\d+)\b(?!/)", _whole_and_fraction),
    rule(r"(?<![\d/.])(\d{1,9})/(\d{1,9})(?![\d/])", _fraction),
    rule(r"\b(\d+):(?=\d)", r"\1 to "),
    rule(r"#\s?(?=\d)", "number "),
    rule(r"~\s?(?=\d)", "about "),
    rule(r"(?<=\d)\s?[x×]\s?(?=\d[^=]*$)", " by "),
)
VERSIONS: tuple[Rule, ...] = (
    rule(
        r"\b(v|[Vv]ersion|[Rr]elease|Python|Java|Node|Ubuntu|iOS|Android|Windows|macOS)"
        r" ?(\d+(?:\.\d+)*)",
        _version,
    ),
    rule(r"(?<![\d.])\d+(?:\.\d+){2,}", _dotted),
)
NUMBERS: tuple[Rule, ...] = (
    rule(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " "),
    rule(NUMBER, lambda m: number(m[0])),
)
