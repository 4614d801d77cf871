"""Everything of the Mandarin domain that is computed: numbers, sums, times, dates, capitals."""

import random
from collections.abc import Callable

_DIGITS = "零一二三四五六七八九"
_WEEKDAYS = "一二三四五六日"
# Every character that computed texts contain besides the capitals.
HANZI = _DIGITS + _WEEKDAYS + "十两点半刻分差月号加减等于是的前后星期今昨明天首都"
CAPITALS = {
    "中国": "北京",
    "日本": "东京",
    "法国": "巴黎",
    "英国": "伦敦",
    "德国": "柏林",
    "意大利": "罗马",
    "俄罗斯": "莫斯科",
    "西班牙": "马德里",
}


def in_hanzi(number: int) -> str:
    """A number from 0 to 99 read out: 零, 十二, 二十, 九十九."""
    tens, ones = divmod(number, 10)
    if tens == 0:
        return _DIGITS[ones]
    head = "十" if tens == 1 else _DIGITS[tens] + "十"
    return head + (_DIGITS[ones] if ones else "")


def counted(number: int) -> str:
    """A number before a measure word: a lone two is 两."""
    return "两" if number == 2 else in_hanzi(number)


def weekday(day: int) -> str:
    """A day of the week, 0 is Monday; it wraps around."""
    return "星期" + _WEEKDAYS[day % 7]


def _count(rng: random.Random) -> str:
    """How many of a thing: mostly few."""
    return counted(rng.choice((rng.randrange(1, 11), rng.randrange(1, 11), rng.randrange(1, 100))))


def _sum_parts(rng: random.Random) -> tuple[str, int]:
    """Mostly within twenty, as in a conversation; never below zero nor above 99."""
    top = rng.choice((20, 20, 20, 99))
    total = rng.randint(0, top)
    part = rng.randint(0, total)
    if rng.random() < 0.5:
        return f"{in_hanzi(part)}加{in_hanzi(total - part)}", total
    return f"{in_hanzi(total)}减{in_hanzi(part)}", total - part


def _sum(rng: random.Random) -> str:
    question, answer = _sum_parts(rng)
    return f"{question}{rng.choice(('等于', '等于', '是'))}{in_hanzi(answer)}"


def _clock(rng: random.Random) -> str:
    hour = counted(rng.randint(1, 12))
    minute = rng.randrange(1, 60)
    spoken = f"零{in_hanzi(minute)}" if minute < 10 else in_hanzi(minute)
    before = rng.choice((5, 10))
    return rng.choice(
        (
            f"{hour}点",
            f"{hour}点",
            f"{hour}点半",
            f"{hour}点一刻",
            f"{hour}点{spoken}分",
            f"差{in_hanzi(before)}分{hour}点",
        )
    )


def _date(rng: random.Random) -> str:
    month, day = rng.randint(1, 12), rng.randint(1, 31)
    return f"{in_hanzi(month)}月{in_hanzi(day)}{rng.choice('号号日')}"


def _counting(rng: random.Random) -> str:
    """Three to seven numbers in a row, up or down."""
    length = rng.randint(3, 7)
    first = rng.choice((1, rng.randint(0, 20 - length), rng.randint(0, 20 - length)))
    numbers = list(range(first, min(first + length, 21)))
    if rng.random() < 0.5:
        numbers.reverse()
    return "，".join(in_hanzi(number) for number in numbers)


def _weekday_pair(rng: random.Random) -> str:
    day = rng.randrange(7)
    shift = rng.choice((("昨天", -1), ("明天", 1)))
    return f"今天是{weekday(day)}，{shift[0]}是{weekday(day + shift[1])}"


def _weekday_after(rng: random.Random) -> str:
    day = rng.randrange(7)
    return f"{weekday(day)}的后一天是{weekday(day + 1)}"


def _weekday_before(rng: random.Random) -> str:
    day = rng.randrange(7)
    return f"{weekday(day)}的前一天是{weekday(day - 1)}"


def _capital(rng: random.Random) -> str:
    country, city = rng.choice(tuple(CAPITALS.items()))
    if rng.random() < 0.5:
        return f"{country}的首都是{city}"
    return f"{city}是{country}的首都"


def _weekday(rng: random.Random) -> str:
    return "星期天" if rng.random() < 0.07 else weekday(rng.randrange(7))


# Slots of the grammar that are computed rather than looked up.
SLOTS: dict[str, Callable[[random.Random], str]] = {
    "number": lambda rng: in_hanzi(rng.randrange(100)),
    "count": _count,
    "age": lambda rng: counted(rng.randint(1, 99)),
    "warm_degrees": lambda rng: in_hanzi(rng.randrange(41)),
    "cold_degrees": lambda rng: in_hanzi(rng.randint(1, 30)),
    "digits": lambda rng: "".join(rng.choice(_DIGITS) for _ in range(rng.randint(3, 6))),
    "sum": _sum,
    "sum_question": lambda rng: _sum_parts(rng)[0],
    "clock": _clock,
    "date": _date,
    "month": lambda rng: in_hanzi(rng.randint(1, 12)) + "月",
    "counting": _counting,
    "weekday": _weekday,
    "weekday_pair": _weekday_pair,
    "weekday_after": _weekday_after,
    "weekday_before": _weekday_before,
    "capital": _capital,
    "country": lambda rng: rng.choice(tuple(CAPITALS)),
    "city": lambda rng: rng.choice(tuple(CAPITALS.values())),
}
