"""E-mail and web addresses, part by part: "info at example dot com"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kimi_demo.text.rules import Rule, rule

_REST = r"[A-Za-z0-9_.~:/?#@!$&+,;=%-]"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ENDINGS = "com|org|net|edu|gov|info|io|dev|ai|app|co|uk|us|eu|de|fr|cn|hk|tw|jp|me|tv|space"
_WRITTEN = (
    rf"[A-Za-z0-9][A-Za-z0-9._+-]*@{_NAME}(?:\.{_NAME})+"
    rf"|(?:https?://|(?<![A-Za-z0-9@])www\.)(?:{_REST}*[A-Za-z0-9/])"
    rf"|(?<![A-Za-z0-9@.-])(?:{_NAME}\.)+(?:{_ENDINGS})(?![A-Za-z0-9-])(?:/{_REST}*[A-Za-z0-9/])?"
)
_ENGLISH = {
    "@": "at", ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "+": "plus", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "#": "hash", "%": "percent", "~": "tilde",
}  # fmt: skip
_MANDARIN = {
    "@": "艾特", ".": "点", "/": "斜杠", "-": "杠", "_": "下划线", "+": "加", ":": "冒号",
    "?": "问号", "=": "等于", "&": "和", "#": "井号", "%": "百分号", "~": "波浪号",
}  # fmt: skip
_VOWEL = re.compile("[aeiouy]", re.IGNORECASE)


def _reading(symbols: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def read_address(match: re.Match[str]) -> str:
        address = re.sub(r"^https?://", "", match[0], flags=re.IGNORECASE).rstrip("/")
        parts = re.findall(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]", address)
        return " " + " ".join(_part(part, symbols) for part in parts) + " "

    return read_address


def _part(part: str, symbols: Mapping[str, str]) -> str:
    """Letters that make no word are said one by one."""
    if not part.isalpha():
        return symbols.get(part, "") if not part.isdecimal() else part
    if len(part) > 2 and _VOWEL.search(part):
        return part
    return " ".join(part.upper())


ENGLISH: Rule = rule(_WRITTEN, _reading(_ENGLISH), re.IGNORECASE)
MANDARIN: Rule = rule(_WRITTEN, _reading(_MANDARIN), re.IGNORECASE)
