"""Written Mandarin to spoken Mandarin: "7:30,气温20℃." -> "七点三十分，气温二十摄氏度。".

Rules are applied one after the other, the more special first.
"""

from __future__ import annotations

import re
from datetime import date

from kimi_demo.text.characters import HAN, MARKS
from kimi_demo.text.mandarin_numbers import NUMBER, amount, counted, digits, number, phone
from kimi_demo.text.rules import Rule, any_of, named, read, rule

MONEY = {
    "$": "美元", "US$": "美元", "USD": "美元", "HK$": "港元", "HKD": "港元", "€": "欧元",
    "EUR": "欧元", "£": "英镑", "GBP": "英镑", "¥": "元", "RMB": "元", "CNY": "元", "JPY": "日元",
    "₩": "韩元", "₹": "卢比",
}  # fmt: skip
UNITS = {
    "km": "公里", "m": "米", "cm": "厘米", "mm": "毫米", "um": "微米", "nm": "纳米", "kg": "公斤",
    "g": "克", "mg": "毫克", "ug": "微克", "L": "升", "l": "升", "ml": "毫升", "mL": "毫升",
    "ha": "公顷", "h": "小时", "min": "分钟", "s": "秒", "ms": "毫秒", "Hz": "赫兹", "kHz": "千赫",
    "MHz": "兆赫", "GHz": "吉赫", "KB": "千字节", "kB": "千字节", "MB": "兆字节", "GB": "吉字节",
    "TB": "太字节", "Mbps": "兆比特每秒", "Gbps": "吉比特每秒", "W": "瓦", "kW": "千瓦",
    "MW": "兆瓦", "kWh": "千瓦时", "V": "伏", "kV": "千伏", "mA": "毫安", "mAh": "毫安时",
    "Ohm": "欧姆", "kJ": "千焦", "cal": "卡", "kcal": "千卡", "kPa": "千帕", "hPa": "百帕",
    "dB": "分贝", "mph": "英里每小时", "rpm": "转每分钟", "fps": "帧每秒", "px": "像素",
    "°C": "摄氏度", "°F": "华氏度", "°": "度",
}  # fmt: skip
_POWERS = {"2": "平方", "3": "立方"}
_SYMBOLS = {
    "+": "加", "=": "等于", "×": "乘以", "÷": "除以", "&": "和", "<": "小于", ">": "大于",
    "≤": "小于等于", "≥": "大于等于", "≈": "约等于", "≠": "不等于", "±": "正负", "@": "艾特",
    "$": "美元", "€": "欧元", "£": "英镑", "¥": "元", "₩": "韩元", "₹": "卢比", "°": "度",
}  # fmt: skip
# What a lone two before it counts; not 月, 号, 日, 楼, 路: those are numbered, not counted.
_MEASURES = (
    "个只位本张条件杯瓶次天年岁块元斤公种辆座间口家支把双碗颗朵头匹句页遍百千万亿人名倍米克吨升"
    "台部场首组套周星小秒项期滴滴片封架艘盒包袋箱串束顿趟步层门节段群批点美欧英"
)
_SUM = rf"(?={NUMBER}(?:\s*[-+×÷*/]\s*{NUMBER}){{0,8}}\s*(?:=|等于|是多少|得多少))"
_SCORE = re.compile("比分|战胜|击败|大胜|险胜|打败|战平|不敌")
_DATE = r"(?<!\d)(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)"
_DIAL = r"((?:电话|号码|热线|拨打|致电|拨|打)(?:号码)?(?:是|为|[：:，\s])*)"
_MARK_RUN = re.compile("[，。？！；：、]{2,}")
_ASCII_MARKS = str.maketrans(",.?!;:", "，。？！；：")
_UNSPOKEN = re.compile(f"[^{HAN}{MARKS}]+|“”")


def spoken_mandarin(text: str) -> str:
    """Hanzi and MARKS only.

    text: as `characters.plain` leaves it.
    """
    text = read(text, (*_FIRST, *_dashes(text), *_colons(text), *_NUMBERS))
    text = _UNSPOKEN.sub("", text.translate(_ASCII_MARKS))
    return _MARK_RUN.sub(strongest_mark, text)


def strongest_mark(match: re.Match[str]) -> str:
    """Of several marks in a row, the first that ends a sentence, else the first."""
    return next((mark for mark in match[0] if mark in "。？！"), match[0][0])


def _dashes(text: str) -> tuple[Rule, ...]:
    """A dash between numbers is a minus in a sum, a colon in a score, and a range elsewhere."""
    meant = "比" if _SCORE.search(text) else "到"
    return (
        rule(rf"(?<=\d)\s*[-–]\s*{_SUM}", "减"),
        rule(r"(?<=\d)\s*[-–~]\s*(?=\d)", meant),
        rule(
            rf"(?<=\d)(\s?(?:{any_of(UNITS)}|%|[{HAN}]{{1,2}}))\s?[-–~]+\s?(?=-?[$¥€£]?\d)", r"\1到"
        ),
        rule(r"~(?=\d)", "约"),
    )


def _colons(text: str) -> tuple[Rule, ...]:
    """A time of day, or a score or ratio."""
    ratio = rule(rf"({NUMBER})\s?:\s?(?=\d)", lambda m: number(m[1]) + "比")
    return (ratio,) if _SCORE.search(text) else (*_TIMES, ratio)


def _date(match: re.Match[str]) -> str:
    month, day = int(match[3]), int(match[4])
    try:
        date(2000, month, day)
    except ValueError:
        return "，".join(map(number, re.findall(r"\d+", match[0])))
    return f"{digits(match[1])}年{number(str(month))}月{number(str(day))}日"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = str(int(match[1])), int(match[2]), match[3]
    half_day = {"a": "上午", "p": "下午"}.get((match[4] or "").lower(), "")
    said = f"{half_day}{counted(hour)}点"
    if minute or second:
        said += f"{'零' if minute < 10 and minute else ''}{number(str(minute))}分"
    if second:
        said += f"{'零' if second[0] == '0' else ''}{number(str(int(second)))}秒"
    return said


def _hour(match: re.Match[str]) -> str:
    return f"{'上午' if match[2].lower() == 'a' else '下午'}{counted(match[1])}点"


def _money(match: re.Match[str]) -> str:
    upper = f"到{amount(match['upper'])}" if match["upper"] else ""
    return f"{amount(match['amount'])}{upper}{match['size'] or ''}{MONEY[match['money']]}"


def _percent(match: re.Match[str]) -> str:
    return f"{'负' if match[1] else ''}{'百' if match[3] == '%' else '千'}分之{number(match[2])}"


def _below_zero(match: re.Match[str]) -> str:
    return f"零下{match[1]}"


def _measure(match: re.Match[str]) -> str:
    power = _POWERS.get(match["power"], "")
    per = f"每{UNITS[match['per']]}" if match["per"] else ""
    read_number = number if "°" in match["unit"] else counted
    return f"{read_number(match['amount'])}{power}{UNITS[match['unit']]}{per}"


def _fraction(match: re.Match[str]) -> str:
    whole = f"{number(match[1])}又" if match[1] else ""
    return f"{whole}{number(match[3])}分之{number(match[2])}"


_UNIT = rf"(?P<unit>{any_of(UNITS)})(?:\^?(?P<power>[23]))?(?:/(?P<per>{any_of(UNITS)}))?"
_FIRST: tuple[Rule, ...] = (
    rule(r"(?<=\d),(?=\d{3}(?!\d))", ""),
    rule(r"[()\[\]{}|]", "，"),
    rule(r"(?<!\d)(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)", lambda m: phone(m[0])),
    rule(
        r"(?<![\d-])0\d{2,3}-\d{7,8}(?![\d-])|(?<![\d-])\d{3,4}-\d{3,4}-?\d{4}(?![\d-])",
        lambda m: phone(m[0]),
    ),
    rule(rf"{_DIAL}(\d{{3,}})(?!\d|\.\d|[{_MEASURES}])", lambda m: m[1] + phone(m[2])),
    rule(r"(?<![\d.])(\d{3,4})(?=号?(?:房|室))", lambda m: phone(m[1])),
    rule(_DATE, _date),
    rule(
        r"(?<!\d)(\d{4})(年?)\s?[-–~到至]\s?(\d{4})(?=年)",
        lambda m: f"{digits(m[1])}{m[2]}到{digits(m[3])}",
    ),
    rule(r"(?<!\d)([12]\d{3})\s?(?=年(?!前|历史|以前|之前|以来))", lambda m: digits(m[1])),
    rule(r"(?<!\d)(\d{2})(?=年\d{1,2}月)", lambda m: digits(m[1])),
    rule(
        rf"(?:(?<=[在于从自《“，。])|^)((?:19|20)(?:\d[1-9]|[1-9]\d))(?![\d.:/%°A-Za-z{_MEASURES}~–-])",
        lambda m: digits(m[1]),
    ),
)
_TIMES: tuple[Rule, ...] = (
    rule(
        r"(?<![\d:])([01]?\d|2[0-4])\s?:\s?([0-5]\d)(?:\s?:\s?([0-5]\d))?(?:\s?([APap])\.?[Mm]\.?)?"
        r"(?![\d:])",
        _clock,
    ),
    rule(r"(?<!\d)(1[0-2]|[1-9])\s?([APap])\.?[Mm]\.?(?![A-Za-z])", _hour),
)
_NUMBERS: tuple[Rule, ...] = (
    rule(
        rf"(?P<money>{any_of(MONEY)})\s?(?P<amount>{NUMBER})(?:到[$¥€£]?(?P<upper>{NUMBER}))?"
        r"(?P<size>[百千万亿]*)(?:元|块)?",
        _money,
    ),
    rule(
        rf"(?P<amount>{NUMBER})(?P<upper>)(?P<size>[百千万亿]*)\s?(?P<money>{any_of(MONEY)})"
        "(?![A-Za-z])",
        _money,
    ),
    rule(rf"(-\s?)?({NUMBER})\s?([%‰])", _percent),
    rule(rf"-\s?({NUMBER}\s?(?:摄氏|华氏|度|°))", _below_zero),
    rule(rf"(?P<amount>{NUMBER})\s?{_UNIT}(?![A-Za-z])", _measure),
    rule(r"(?:(?<!\d)(\d+) )?(?<![\d/.])(\d+)/(\d+)(?![\d/])", _fraction),
    rule(r"(?<!\d)\d+(?:\.\d+){2,}", lambda m: number(m[0])),
    rule(r"#\s?(\d+)", lambda m: number(m[1]) + "号"),
    rule(r"-\s?(?=\d)", "负"),
    rule(r"(?<![\d.])(\d+\.\d+)(?=元|块)", lambda m: amount(m[1])),
    rule(rf"(?<![第\d.])({NUMBER})(?=\s?(?:[{_MEASURES}]|分(?!之)))", lambda m: counted(m[1])),
    rule(NUMBER, lambda m: number(m[0])),
    rule(r"(?<!\d)/|[*_`#\\]", " "),
    named(_SYMBOLS, around=""),
)
