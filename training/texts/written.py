"""From texts in lower case and number words to texts as people write them.

English numbers from ten on, and all numbers of sums, prices, percentages, clocks and series, become
digits; smaller ones stay words. Mandarin numbers become digits in sums, dates, clocks, telephone
numbers and series, and from eleven on before what they count.
"""

import calendar
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import yaml
from num2words import num2words

_DATA = Path(__file__).parent / "dialogues"
_UNITS = ["zero", *(num2words(value) for value in range(1, 10))]
_TEENS = [num2words(value) for value in range(10, 20)]
_TENS = [num2words(value) for value in range(20, 100, 10)]
_VALUES = {
    **{word: value for value, word in enumerate(_UNITS + _TEENS)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    **{"hundred": 100, "thousand": 1000, "million": 10**6},
}
_ORDINALS = {
    **{"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12},
    **{word + "th": _VALUES[word] for word in ("four", "six", "seven", *_TEENS)},
    **{word[:-1] + "ieth": _VALUES[word] for word in _TENS},
}


def _any_of(patterns: Iterable[str]) -> str:
    return "(?:" + "|".join(patterns) + ")"


def _either(words: Iterable[str]) -> str:
    return _any_of(sorted(words, key=len, reverse=True))


_DIGIT, _ONE_TO_NINE, _TEEN, _TEN = (_either(x) for x in (_UNITS, _UNITS[1:], _TEENS, _TENS))
_TO_99 = rf"(?:{_TEN}(?:[ -]{_ONE_TO_NINE})?|{_TEEN}|{_DIGIT})\b"
_TO_999 = rf"(?:{_ONE_TO_NINE} hundred\b(?: (?:and )?{_TO_99})?|{_TO_99})"
_NUMBER = rf"{_TO_999}(?: thousand\b(?: (?:and )?{_TO_999})?)?(?: million\b)?"
_ORDINAL = rf"(?:{_TEN}[ -])?{_either(_ORDINALS)}\b"
_HOUR = _either([*_UNITS[1:], *_TEENS[:3]])
_TO_59 = rf"(?:{_either(_TENS[:4])}(?:[ -]{_ONE_TO_NINE})?|{_TEEN})\b"
_TO_99_LONG = rf"(?:{_TEN}(?:[ -]{_ONE_TO_NINE})?|{_TEEN})\b"
_PHONE_NUMBER = re.compile(rf"\b{_DIGIT}(?: {_DIGIT}){{2,}}\b", re.I)
_CLOCK = re.compile(rf"\b({_HOUR}) (oh {_ONE_TO_NINE}\b|{_TO_59})(?! (?:hundred|thousand))", re.I)
_CENTURY = _either([*_TEENS[3:], "twenty"])
_YEAR = re.compile(
    rf"\b({_CENTURY}) ({_TO_99_LONG})(?! hundred)|\b({_either(_TEENS[:3])}) ({_TO_99_LONG})", re.I
)
_CARDINAL = re.compile(rf"(?<![\w'-])(?:{_NUMBER})(?![\w'-])", re.I)
_ORDINAL_NUMBER = re.compile(rf"(?<![\w-]){_ORDINAL}(?!-)", re.I)
_MONTH_NAMES = [name.lower() for name in calendar.month_name[1:]]
_MONTHS = _either(_MONTH_NAMES)
_SMALL_BESIDE = re.compile(r"^ (?:percent|plus|minus|times|divided by|o'clock|degrees?|dollars?)\b")
_SMALL_AFTER = re.compile(r"(?:plus|minus|times|divided by|equals) $")
_COMPARING = re.compile(r"\b(?:larger|bigger|smaller|greater|less)\b")
_LINK = re.compile(r",? (?:or|and) |, |,? (?:(?:down|up|back) )?to | than ")


def _value(words: str) -> int:
    """Of a cardinal in words: "two hundred and six" -> 206."""
    total = current = 0
    for word in re.split("[ -]", words.lower()):
        value = _VALUES.get(word, 0)
        if value < 100:
            current += value
        elif value == 100:
            current *= value
        else:
            total, current = total + current * value, 0
    return total + current


def _ordinal(match: re.Match[str]) -> str:
    """From tenth on, and every one beside a month, with digits: "27th"."""
    tens, last = re.fullmatch("(?:(.+)[ -])?(.+)", match[0].lower()).groups()
    value = _VALUES.get(tens, 0) + _ORDINALS[last]
    beside = rf"{_MONTHS} (?:the )?$"
    if value < 10 and not re.search(beside, match.string[: match.start()], re.I):
        return match[0]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th") if value // 10 != 1 else "th"
    return f"{value}{ending}"


def _clock(match: re.Match[str]) -> str:
    return f"{_value(match[1])}:{_value(match[2].lower().removeprefix('oh ')):02}"


def _cardinals(text: str) -> str:
    """Numbers of one sentence as digits where people write digits."""
    found = list(_CARDINAL.finditer(text))
    lower, values = text.lower(), [_value(match[0]) for match in found]
    between = [lower[a.end() : b.start()] for a, b in pairwise(found)]
    linked = [bool(_LINK.fullmatch(link)) for link in between]
    near = [
        bool(_SMALL_BESIDE.search(lower[m.end() :]) or _SMALL_AFTER.search(lower[: m.start()]))
        for m in found
    ]
    is_sum = any(re.search("plus|minus|times|divided", lower[m.end() : m.end() + 8]) for m in found)
    is_sum |= any(_SMALL_AFTER.search(lower[: m.start()]) for m in found)
    is_sum |= len(found) > 1 and bool(_COMPARING.search(lower))
    is_series = len(found) > 2 and all(link == ", " for link in between)
    digits = [v > 9 or n or is_sum or is_series for v, n in zip(values, near, strict=True)]
    for place, is_linked in enumerate(linked):  # "from 12 to 4", but "an old one and 20 others"
        pair, ones = digits[place : place + 2], 1 in values[place : place + 2]
        if is_linked and any(pair) and not (ones and "to" not in between[place]):
            digits[place : place + 2] = [True, True]
    for match, value, is_digits in reversed(list(zip(found, values, digits, strict=True))):
        if is_digits:
            text = text[: match.start()] + str(value) + text[match.end() :]
    return text


def _english_digits(text: str) -> str:
    text = _PHONE_NUMBER.sub(lambda m: "".join(str(_value(w)) for w in m[0].split()), text)
    text = _CLOCK.sub(_clock, text)
    text = _YEAR.sub(lambda m: "".join(str(_value(words)) for words in m.groups() if words), text)
    text = _ORDINAL_NUMBER.sub(_ordinal, text)
    sentences = re.split(r"(?<=[.?!]) ", text)
    return re.sub(r"(?<=\d) percent\b", "%", " ".join(map(_cardinals, sentences)))


_ZH_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"两": 2}
_ZH_PLACES = {"十": 10, "百": 100, "千": 1000}
_ZH = "[零一二两三四五六七八九十百千]"
_ONE = "(?:[二两三四五六七八九]|一(?![共下起样]))"
_NOUGHT_TO_99 = f"(?:{_ONE}?十{_ONE}?|零|{_ONE})"
_NUM = (
    f"(?:{_ONE}千(?:零?{_ONE}百)?(?:零?{_NOUGHT_TO_99})?|{_ONE}百(?:零?{_NOUGHT_TO_99})?"
    f"|{_NOUGHT_TO_99})"
)
_FROM_11 = f"(?<!{_ZH})(?=.[{_ZH[1:]}){_NUM}(?![{_ZH[1:-1]}万亿分])"
_COUNTED = (
    "个只位本张条件杯瓶次天年岁块元斤公种辆座间口家支把双碗颗朵头匹句页遍度名层台幅封份棵群场篇套根"
    "片美米号楼人倒数和到，。？！吗的是不呢开"
)


def _after(*texts: str) -> str:
    """A pattern for the place after one of some fixed-width patterns."""
    return _any_of(f"(?<={text})" for text in texts)


_OPERATOR = "(?:加|减|乘|除以|等于)"
_Reading = Callable[[re.Match[str]], str]


def _zh_value(hanzi: str) -> int:
    """三十八 -> 38; digits without places are read one by one."""
    if not set(hanzi) & set(_ZH_PLACES):
        return int("".join(str(_ZH_DIGITS[c]) for c in hanzi))
    total, current = 0, 0
    for character in hanzi:
        if character in _ZH_PLACES:
            total, current = total + (current or 1) * _ZH_PLACES[character], 0
        else:
            current = _ZH_DIGITS[character]
    return total + current


def _zh_digits(match: re.Match[str]) -> str:
    return re.sub(_NUM, lambda m: str(_zh_value(m[0])), match[0])


def _one_by_one(match: re.Match[str]) -> str:
    return "".join(str(_ZH_DIGITS[c]) for c in match[0])


_ZH_READINGS: tuple[tuple[re.Pattern[str], _Reading], ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (f"百分之({_NUM})(?!点)", lambda m: f"{_zh_value(m[1])}%"),
        (r"[零一二三四五六七八九]{4}(?=年)|[零一二三四五六七八九]{3,}", _one_by_one),
        (f"(?<![第期周]){_NUM}月{_NUM}(?=[日号])|(?<![第期周个]){_NUM}(?=月)", _zh_digits),
        (f"(?<![周期天日]){_NUM}点{_NUM}(?=分)", _zh_digits),
        (
            f"{_NUM}(?={_OPERATOR})|{_after('[乘减]', '[^参增]加', '^加')}{_NUM}(?![些点个])",
            _zh_digits,
        ),
        (f"{_after('[加减][去上]', '除以', '等于', '乘以')}{_NUM}", _zh_digits),
        (f"(?:{_NUM}，){{2,}}{_NUM}(?=[，。])", _zh_digits),
        (f"{_NUM}比{_NUM}(?=更?[大小])|{_NUM}(?:和|跟|与|还是){_NUM}(?=.*[大小])", _zh_digits),
        (f"{_NUM}[大小]还是{_NUM}(?=[大小])|(?<=[大小]，){_NUM}还是{_NUM}", _zh_digits),
        (rf"{_after('[加减][0-9]是', '[加减][0-9][0-9]是')}{_NUM}(?=[。，])", _zh_digits),
        (f"{_FROM_11}(?=[{_COUNTED}])", _zh_digits),
        (
            rf"{_NUM}(?=(?:倒?着?数|往下数)?到\d)|{_after('[0-9]数到', '[0-9]到')}{_NUM}(?=[。吗])",
            _zh_digits,
        ),
    )
)


def _mandarin_digits(text: str) -> str:
    for pattern, reading in _ZH_READINGS:
        text = pattern.sub(reading, text)
    return text


def with_digits(text: str, language: str) -> str:
    """Number words become digits where people write digits; all else stays."""
    return _mandarin_digits(text) if language == "zh" else _english_digits(text)


@dataclass(frozen=True)
class _Names:
    """What is written with capitals, by its lower case.

    sentences: WordNet's examples; phrases: names of several words.
    """

    sentences: dict[str, str]
    words: dict[str, str]
    phrases: dict[str, str]


@cache
def _names() -> _Names:
    from training.texts.sentences import wordnet_examples  # it formats its sentences with this file

    examples = wordnet_examples()
    counts: dict[str, Counter[str]] = {}
    for word in (w for text in examples for w in re.findall(r"[A-Za-z'-]+", text)[1:]):
        counts.setdefault(word.lower(), Counter())[word] += 1
    words = {low: max(c, key=c.__getitem__) for low, c in counts.items() if _is_name(low, c)}
    data = yaml.safe_load((_DATA / "names_en.yaml").read_text(encoding="utf-8"))
    tables = yaml.safe_load((_DATA / "en.yaml").read_text(encoding="utf-8"))["tables"]
    cells = re.split(r"\s*[|\n]\s*", "\n".join(tables[name] for name in data["tables"]))
    listed = [*cells, *(word for line in data["names"] for word in line.split())]
    names = {name.lower(): name for name in listed if re.search("[A-Z]", name)}
    words |= {word: word for word in data["common"]}
    words |= {low: name for low, name in names.items() if " " not in name}
    phrases = {low: name for low, name in names.items() if " " in name}
    return _Names({_shard_form(t): t.strip().rstrip(".") for t in examples}, words, phrases)


def is_name(word: str) -> bool:
    """Whether an English word in lower case is written with a capital."""
    return word in _names().words and _names().words[word] != word


def _is_name(lower: str, forms: Counter[str]) -> bool:
    return forms[lower] * 5 < sum(forms.values()) and lower != "i"


def _shard_form(text: str) -> str:
    """A WordNet example as the shards' texts have it."""
    return text.strip().rstrip(".").replace(";", ",").lower()


def _glued(text: str, sentences: dict[str, str]) -> str | None:
    """The original of a text of one or more examples, joined by a comma or "and"; None if it is
    not made of examples."""
    if text in sentences:
        return sentences[text]
    for joint in re.finditer(", | and ", text):
        first = sentences.get(text[: joint.start()])
        rest = first and _glued(text[joint.end() :], sentences)
        if rest:
            return first + joint[0] + inside(rest)
    return None


def inside(text: str) -> str:
    """The start of a sentence, now in the middle of one."""
    word = re.match(r"[A-Za-z'-]*", text)[0]
    is_name = re.match("I(?:'|$)", word) or _names().words.get(word.lower()) == word
    return text if is_name else text[0].lower() + text[1:]


_MONTH_NAME = re.compile(r"\b(?:in|of|on|after|before|until|since|next|last) (may|march)\b")
_OF_MONTHS = re.compile(rf"\b(?:months?|{_either(set(_MONTH_NAMES) - {'may', 'march'})})\b", re.I)


def _with_capitals(text: str) -> str:
    """Names and "I"; `text` is in lower case."""
    known = _names()
    is_of_months = _OF_MONTHS.search(text)
    text = re.sub(r"[a-z][a-z'-]*", lambda m: _named(m[0], known.words), text)
    text = re.sub(r"\bi(?='|\b)", "I", text)
    text = re.sub(
        rf"\b{_either(known.phrases)}\b", lambda m: known.phrases[m[0].lower()], text, flags=re.I
    )
    months = re.compile(r"\b(may|march)\b") if is_of_months else _MONTH_NAME
    return months.sub(lambda m: m[0][: m.start(1) - m.start()] + m[1].capitalize(), text)


def _named(word: str, names: dict[str, str]) -> str:
    base = word.removesuffix("'s")
    return names.get(base, base) + word[len(base) :]


def as_written(text: str, language: str) -> str:
    """A text with spelled-out numbers as people write it, final mark and all. English in lower case
    gets its capitals; a text that has some keeps them.

    "what is twelve plus five, kimi?" -> "What is 12 plus 5, Kimi?". Deterministic.
    """
    if language == "zh":
        return _mandarin_digits(text)
    if text == text.lower():
        body = text.rstrip(".")
        text = (_glued(body, _names().sentences) or _with_capitals(body)) + text[len(body) :]
    return re.sub(r"(?:^|(?<=[.?!] ))[a-z]", lambda m: m[0].upper(), _english_digits(text))
