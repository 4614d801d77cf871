"""Text of English and Mandarin: which is which, and each in its spoken form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Literal

from kimi_demo.text import addresses, mandarin
from kimi_demo.text.characters import HAN, HANZI, MARKS, plain
from kimi_demo.text.english import ABBREVIATIONS, spoken_english
from kimi_demo.text.english_amounts import CODES
from kimi_demo.text.rules import any_of, read

Language = Literal["zh", "en"]

_PASSES = 4  # a word that one pass lays bare ("Mr5") is read by the next

_WORD = re.compile(rf"(?:(?![{HAN}_])[^\W\d])+(?:'\w+)?")
_SPOKEN = {"en": spoken_english, "zh": mandarin.spoken_mandarin}
_ASCII_MARKS = str.maketrans(
    {"，": ", ", "。": ". ", "？": "? ", "！": "! ", "；": "; ", "：": ":", "、": ", "}
)
_FULL_WIDTH_MARKS = str.maketrans(",.?!;:", "，。？！；：")
_PAUSE = re.compile(rf"(?<=[{HAN}{MARKS}])\s*(?:\.{{2,}}|—+)|(?:\.{{2,}}|—+)(?=\s*[{HAN}])")
_MARK_BESIDE_HANZI = re.compile(rf"(?<=[{HAN}])\s*[,.?!;:]|[,.?!;:](?=\s*[{HAN}“])")
_UNIT = rf"(?:{any_of((*mandarin.UNITS, *mandarin.MONEY, '%', '‰', 'am', 'pm'))})"
_TOKEN = re.compile(
    rf"""(?P<mark>[{MARKS}]|[.,?!;](?=\s|$))
    |(?P<zh>[{HAN}]+)
    |(?P<number>(?:(?<!\w)[-~#±])?(?:{any_of(mandarin.MONEY)})?[ ]?\d
        (?:[\d.,:/~–-]*\d)?(?:[ ]?{_UNIT}(?:\^?[23])?(?:/{_UNIT})?(?![A-Za-z]))?)
    |(?P<en>[A-Za-z]+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def language_of(text: str) -> Language:
    """The language most of the text is written in, by script: a character of Mandarin counts as
    much as an English word. English without any letters.
    """
    return "zh" if len(HANZI.findall(text)) > len(_WORD.findall(text)) else "en"


def spoken(text: str) -> str:
    """The words that are said for a text, each language in its own way, with a space between words
    of both: "我叫Kimi，3岁。" -> "我叫 Kimi，三岁。". Saying it again changes nothing.

    Raises: InputError that names the script of letters that cannot be spoken.
    """
    text = plain(text)
    for _ in range(_PASSES):
        before, text = text, _read(text)
        if text == before:
            break
    return text


def _read(text: str) -> str:
    text = read(text, (CODES,))
    if not HANZI.search(text):
        return _begun(text, _trimmed(spoken_english(text.translate(_ASCII_MARKS))))
    text = _PAUSE.sub("，", read(text, (addresses.MANDARIN, *ABBREVIATIONS)))
    text = _MARK_BESIDE_HANZI.sub(lambda match: match[0].translate(_FULL_WIDTH_MARKS), text)
    tokens = [_Token(str(m.lastgroup), m[0]) for m in _TOKEN.finditer(text)]
    languages = _languages(tokens)
    pieces = (
        _SPOKEN[language]("".join(token.text for _, token in run))
        for language, run in groupby(zip(languages, tokens, strict=True), key=lambda pair: pair[0])
    )
    joined = " ".join(filter(None, pieces))
    return _trimmed(re.sub(rf"\s*([{MARKS}])\s*", r"\1", joined))


def _begun(written: str, said: str) -> str:
    """A sentence that began with a number begins with a capital."""
    first = re.search("[A-Za-z0-9]", written)
    return said[:1].upper() + said[1:] if first and first[0].isdecimal() else said


def _trimmed(said: str) -> str:
    """Without marks before the first word or that nothing follows."""
    return said.lstrip(" .,?!;:，。？！；：、”").rstrip(" ,;:，；：、“")


def _languages(tokens: Sequence[_Token]) -> list[Language]:
    """The language of each token: letters are clear, numbers take that of their surroundings, and
    everything else goes with what stands before it, at the start with what follows.
    """
    hanzi = sum(len(token.text) for token in tokens if token.kind == "zh")
    usual: Language = "zh" if hanzi > sum(token.kind == "en" for token in tokens) else "en"
    sure: list[Language | None] = []
    for place, token in enumerate(tokens):
        match token.kind:
            case "en":
                sure.append("en")
            case "zh":
                sure.append("zh")
            case "mark":
                sure.append("zh" if token.text in MARKS else None)
            case "number":
                sure.append(_language_of_number(tokens, place, usual))
            case _:
                sure.append(None)
    known: list[Language] = [language for language in sure if language]
    current = known[0] if known else usual
    languages: list[Language] = []
    for language in sure:
        current = language or current
        languages.append(current)
    return languages


def _language_of_number(tokens: Sequence[_Token], place: int, usual: Language) -> Language:
    """That of the words on both sides; where they differ, Mandarin if it follows or if the number
    is written close to it, or if a lone name goes before ("iPhone 15").
    """
    before = list(islice(_clause(tokens[at] for at in range(place - 1, -1, -1)), 2))
    after = next(_clause(tokens[at] for at in range(place + 1, len(tokens))), None)
    kinds = (before[0].kind if before else "", after.kind if after else "")
    match kinds:
        case (_, "zh") | ("zh", ""):
            return "zh"
        case ("zh", "en"):
            close = tokens[place - 1].kind == "zh" and tokens[place + 1].text == " "
            return "zh" if close else "en"
        case (_, "en"):
            attached = tokens[place + 1].kind == "en"  # 5G, 3D
            return usual if attached else "en"
        case ("en", ""):
            lone_name = not before[0].text.islower() and [t.kind for t in before[1:2]] != ["en"]
            return usual if lone_name else "en"
        case _:
            return usual


def _clause(tokens: Iterable[_Token]) -> Iterator[_Token]:
    for token in tokens:
        if token.kind == "mark":
            return
        if token.kind in ("zh", "en"):
            yield token
