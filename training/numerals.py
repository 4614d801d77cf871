"""Everything of the domain that is computed: numbers, sums, clock times, dates, capitals."""

import random
from collections.abc import Callable

# fmt: off
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth",
)
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)
# fmt: on
CAPITALS = {
    "france": "paris",
    "england": "london",
    "germany": "berlin",
    "italy": "rome",
    "spain": "madrid",
    "russia": "moscow",
    "japan": "tokyo",
    "china": "beijing",
    "egypt": "cairo",
    "india": "delhi",
    "america": "washington",
}


_CONTINENTS = {
    "africa": ("egypt",),
    "america": ("washington",),
    "asia": ("china", "japan", "india", "tokyo", "delhi", "beijing"),
    "europe": (
        *("france", "england", "germany", "italy", "spain"),
        *("rome", "paris", "london", "berlin"),
    ),
}


def in_words(number: int, with_and: bool = False) -> str:
    """A number from 0 to 999999 read out; `with_and` says "one hundred and two"."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _joined(_TENS[number // 10 - 2], number % 10, with_and=False)
    if number < 1000:
        return _joined(f"{_SMALL[number // 100]} hundred", number % 100, with_and)
    thousands = f"{in_words(number // 1000, with_and)} thousand"
    if number % 1000 < 100:
        return _joined(thousands, number % 1000, with_and)
    return f"{thousands} {in_words(number % 1000, with_and)}"


def _joined(head: str, rest: int, with_and: bool) -> str:
    if rest == 0:
        return head
    return f"{head} and {in_words(rest)}" if with_and else f"{head} {in_words(rest)}"


def year_in_words(year: int) -> str:
    """A year from 1100 to 2099 as it is said: "nineteen sixty two", "two thousand five"."""
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return in_words(year)
    if rest == 0:
        return f"{in_words(century)} hundred"
    return f"{in_words(century)} {'' if rest > 9 else 'o '}{in_words(rest)}"


def _number(rng: random.Random) -> str:
    """0 to 9999, every length equally often; with and without "and"."""
    top = rng.choice((100, 100, 1000, 10_000))
    return in_words(rng.randrange(top // 10 if top > 100 else 0, top), rng.random() < 0.6)


def _small_number(rng: random.Random) -> str:
    return in_words(rng.choice((rng.randrange(2, 13), rng.randrange(2, 100))))


def _digits(rng: random.Random) -> str:
    return " ".join(_SMALL[rng.randrange(10)] for _ in range(rng.randint(3, 8)))


def _sum_parts(rng: random.Random) -> tuple[str, int]:
    top = rng.choice((21, 21, 100))
    first, second = rng.randrange(top), rng.randrange(top)
    sign = rng.choice(("plus", "plus", "minus", "minus", "times", "divided by"))
    if sign == "minus":
        first, second = max(first, second), min(first, second)
        return f"{in_words(first)} minus {in_words(second)}", first - second
    if sign == "times":
        first, second = first % 13, second % 13
        return f"{in_words(first)} times {in_words(second)}", first * second
    if sign == "divided by":
        first, second = first % 13, second % 12 + 1
        return f"{in_words(first * second)} divided by {in_words(second)}", first
    return f"{in_words(first)} plus {in_words(second)}", first + second


def _sum(rng: random.Random) -> str:
    question, answer = _sum_parts(rng)
    return f"{question} {rng.choice(('is', 'is', 'equals'))} {in_words(answer, True)}"


def _clock(rng: random.Random) -> str:
    hour = in_words(rng.randrange(1, 13))
    minute = rng.randrange(1, 60)
    spoken = in_words(minute) if minute > 9 else f"o {in_words(minute)}"
    few = in_words(rng.randrange(1, 30))
    return rng.choice(
        (
            f"{hour} o'clock",
            f"half past {hour}",
            f"quarter past {hour}",
            f"a quarter to {hour}",
            f"{few} minutes past {hour}",
            f"{few} minutes to {hour}",
            f"{in_words(rng.randrange(5, 30, 5))} past {hour}",
            f"{hour} {spoken}",
        )
    )


def _ordinal_day(rng: random.Random) -> str:
    day = rng.randrange(1, 32)
    if day <= 20:
        return _ORDINALS[day - 1]
    return "thirtieth" if day == 30 else f"{in_words(day // 10 * 10)} {_ORDINALS[day % 10 - 1]}"


def _date(rng: random.Random) -> str:
    month = rng.choice(_MONTHS)
    return rng.choice(
        (
            f"{month} {in_words(rng.randrange(1, 32))}",
            f"the {_ordinal_day(rng)} of {month}",
            f"{month} the {_ordinal_day(rng)}",
            f"{month} {_ordinal_day(rng)}",
        )
    )


def _counting(rng: random.Random) -> str:
    numbers = list(range(rng.randrange(0, 90), 100))[: rng.randint(3, 7)]
    return ", ".join(in_words(n) for n in (numbers if rng.random() < 0.6 else numbers[::-1]))


def _capital(rng: random.Random) -> str:
    country = rng.choice(tuple(CAPITALS))
    return f"{CAPITALS[country]} is the capital of {country}"


def _city_in(rng: random.Random) -> str:
    country = rng.choice(tuple(CAPITALS))
    return f"{CAPITALS[country]} is a city in {country}"


def _continent_of(rng: random.Random) -> str:
    continent = rng.choice(tuple(_CONTINENTS))
    return f"{rng.choice(_CONTINENTS[continent])} is in {continent}"


def _year(rng: random.Random) -> str:
    return year_in_words(rng.choice((rng.randrange(1100, 2100), rng.randrange(1900, 2030))))


def _percent(rng: random.Random) -> str:
    whole = in_words(rng.randrange(0, 101))
    return f"minus {whole}" if rng.random() < 0.1 else whole


# Slots of the grammar that are computed rather than looked up.
SLOTS: dict[str, Callable[[random.Random], str]] = {
    "number": _number,
    "small_number": _small_number,
    "number_noun": _small_number,
    "age": lambda rng: in_words(rng.randrange(2, 100)),
    "percent": _percent,
    "digits": _digits,
    "sum": _sum,
    "sum_question": lambda rng: _sum_parts(rng)[0],
    "clock": _clock,
    "date": _date,
    "year": _year,
    "counting": _counting,
    "capital": _capital,
    "city_in": _city_in,
    "continent_of": _continent_of,
}
