"""Closed questions: which of the options a reply means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kimi_demo.messages import Option

_MARKED = re.compile(r"\s*(?:\((\w)\)|(\w)[).:])")  # "(B) joy", "B. joy", "B: joy"
_FRAME = " \t\n.,:;!()\"'*“”。"


def label_of(words: str, options: Sequence[Option]) -> str | None:
    """The label of the option that a reply names by letter or label, in whatever case; None if it
    names none, or several.
    """
    said = _plain(words)
    for option in options:
        if said in (_plain(option.answer), _plain(option.label)):
            return option.label
    if (marked := _MARKED.match(words)) and (letter := _plain(marked[1] or marked[2])):
        for option in options:
            if letter == _plain(option.answer):
                return option.label
    named = [option.label for option in options if _names(said, _plain(option.label))]
    return named[0] if len(named) == 1 else None


def _plain(text: str) -> str:
    return text.strip(_FRAME).casefold()


def _names(said: str, label: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", said) is not None
