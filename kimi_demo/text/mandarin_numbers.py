"""Numbers in hanzi: cn2an, with 两 where people say it."""

from __future__ import annotations

import re

NUMBER = r"(?<!\d)\d+(?:\.\d+)?"
_DIGITS = "零一二三四五六七八九"
_MAX_READ_DIGITS = 9  # longer ones are telephone or serial numbers and read digit by digit
_TWO = re.compile("(?<!十)二(?=[百千万亿])")


def digits(written: str) -> str:
    """One by one: "2026" -> "二零二六"."""
    return "".join(_DIGITS[int(digit)] for digit in written if digit.isdecimal())


def phone(written: str) -> str:
    """One by one as on the telephone, where 一 would sound like 七."""
    return digits(written).replace("一", "幺")


def number(written: str) -> str:
    """A whole or decimal number; a code (leading zero, or long) digit by digit."""
    whole, *fractions = written.split(".")
    coded = len(whole) > _MAX_READ_DIGITS or (len(whole) > 1 and whole[0] == "0")
    import cn2an  # slow to import, and not every start needs it

    said = digits(whole) if coded else _TWO.sub("两", cn2an.an2cn(whole, "low"))
    return "点".join([said, *map(digits, fractions)])


def counted(written: str) -> str:
    """A number before what it counts: a lone two is 两."""
    return "两" if written == "2" else number(written)


def amount(written: str) -> str:
    """Of money: "3.50" -> "三点五"."""
    return counted(re.sub(r"\.?0+$", "", written) if "." in written else written)
