"""Written Mandarin to spoken Mandarin: hanzi and ，。？！, numbers read out.

Numbers are read here because num2words knows no Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Callable

HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
MARKS = "，。？！"

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_MYRIADS = ("", "万", "亿")
_MAX_READ_DIGITS = 9  # longer ones are telephone or serial numbers and read digit by digit
_MEASURES = "个只位本张条件杯瓶次天年岁块元斤公种辆座间口家支把双碗颗朵头匹句页遍点分小百千万亿"

_NUMBER = r"\d+(?:\.\d+)*"
_SUM = re.compile(r"=|等于|是多少|得多少")
_SYMBOLS = {"+": "加", "=": "等于", "×": "乘", "÷": "除以", "&": "和", "°c": "度", "°": "度"}
_UNITS = {"km": "公里", "kg": "公斤", "cm": "厘米", "mm": "毫米"}
_PAUSES = re.compile(r"[,、;；:：…—]+")
_ASCII_MARKS = str.maketrans(".?!", "。？！")
_UNSPOKEN = re.compile(f"[^{HAN}{MARKS}]+")
_MARK_RUN = re.compile(f"[{MARKS}]{{2,}}")


def spoken_mandarin(text: str) -> str:
    """Hanzi and ，。？！ only: "现在是7:30,气温20度." -> "现在是七点三十分，气温二十度。"."""
    text = text.lower()
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    for pattern, read in _readings(text):
        text = pattern.sub(read, text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = _PAUSES.sub("，", text).translate(_ASCII_MARKS)
    text = _UNSPOKEN.sub("", text)
    return _MARK_RUN.sub(_one_mark, text)


def _integer(digits: str) -> str:
    """At most 12 digits, read as one number: "10500" -> "一万零五百"."""
    digits = digits.lstrip("0")
    if not digits:
        return _DIGITS[0]
    groups = [digits[max(0, end - 4) : end] for end in range(len(digits), 0, -4)]
    words, silent = "", False
    for place in reversed(range(len(groups))):
        group = groups[place]
        if int(group) == 0:
            silent = True
            continue
        words += "零" if words and (silent or group.startswith("0")) else ""
        words += ("两" if place and group == "2" else _below_myriad(group)) + _MYRIADS[place]
        silent = False
    return words.removeprefix("一") if words.startswith("一十") else words


def _one_by_one(digits: str) -> str:
    """Each digit by its name; anything else is left out."""
    return "".join(_DIGITS[int(digit)] for digit in digits if digit.isdecimal())


def _below_myriad(group: str) -> str:
    """One to four digits, not all 0; leading zeros are silent: "1005" -> "一千零五"."""
    words, silent = "", False
    for place, digit in zip(reversed(range(len(group))), group, strict=True):
        if digit == "0":
            silent = True
            continue
        words += "零" if words and silent else ""
        words += ("两" if digit == "2" and place == 3 else _DIGITS[int(digit)]) + _PLACES[place]
        silent = False
    return words


def _number(written: str) -> str:
    """A whole or decimal number, or a long or zero-led code digit by digit."""
    whole, *fractions = written.split(".")
    coded = len(whole) > _MAX_READ_DIGITS or (len(whole) > 1 and whole[0] == "0")
    return "点".join(
        [_one_by_one(whole) if coded else _integer(whole), *map(_one_by_one, fractions)]
    )


def _counted(written: str) -> str:
    """A number before what it counts: a lone two is 两."""
    return "两" if written == "2" else _number(written)


def _clock(match: re.Match[str]) -> str:
    hour, minute = match[1].lstrip("0") or "0", match[2]
    spoken = f"{_counted(hour)}点"
    if minute == "00":
        return spoken
    return f"{spoken}{'零' if minute[0] == '0' else ''}{_integer(minute)}分"


def _date(match: re.Match[str]) -> str:
    return f"{_one_by_one(match[1])}年{_integer(match[2])}月{_integer(match[3])}日"


def _readings(text: str) -> list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]:
    """Patterns with what is said for them, the more special first.

    A dash between numbers is a minus in a sum and a range elsewhere.
    """
    dash = "减" if _SUM.search(text) else "到"
    written = (
        (r"(?<!\d)\d{3,4}-\d{3,4}-?\d{4}(?!\d)", lambda m: _one_by_one(m[0])),
        (r"(?<!\d)(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)", _date),
        (r"(?<=\d)\s*[-−~]\s*(?=\d)", lambda _: dash),
        (r"(?<!\d)([01]?\d|2[0-4])[:：]([0-5]\d)(?!\d)", _clock),
        (r"(?<!\d)([12]\d{3})(?=年(?!前|历史))", lambda m: _one_by_one(m[1])),
        (rf"({_NUMBER})\s*%", lambda m: "百分之" + _number(m[1])),
        (r"(\d+)/(\d+)", lambda m: f"{_number(m[2])}分之{_number(m[1])}"),
        (rf"¥\s*({_NUMBER})", lambda m: _counted(m[1]) + "元"),
        (rf"\$\s*({_NUMBER})", lambda m: _counted(m[1]) + "美元"),
        (r"(?<=\d)\s*(km|kg|cm|mm)(?![a-z])", lambda m: _UNITS[m[1]]),
        (r"[-−]\s*(?=[\d.]+\s*(?:度|°))", lambda _: "零下"),
        (r"[-−](?=\d)", lambda _: "负"),
        (rf"(?<![第\d.])({_NUMBER})(?=\s*[{_MEASURES}])", lambda m: _counted(m[1])),
        (_NUMBER, lambda m: _number(m[0])),
    )
    return [(re.compile(pattern), read) for pattern, read in written]


def _one_mark(match: re.Match[str]) -> str:
    """Of several marks in a row, the first that is more than a comma."""
    return next((mark for mark in match[0] if mark != "，"), "，")
