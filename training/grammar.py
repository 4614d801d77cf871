"""Grammars in a text file: reading the rules and drawing texts from them.

`[rule]` opens a rule, each line below it is one way to say it; `3*` makes a line three times as
likely; a rule without lines is the empty text. `{rule}` stands for a text of that rule, of a word
class, or of a slot that code computes; `{rule+form}` asks for a form of it. `#` opens a comment.
Word classes lie in a file of their own as `class: word word ...`, over as many lines as needed.
"""

import random
import re
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

SLOT = re.compile(r"\{(\w+)(?:\+(\w+))?\}")
_WEIGHT = re.compile(r"(\d+)\* (.*)")

# Rule name to its lines and their cumulative weights.
Rules = Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]
WordClasses = Mapping[str, tuple[str, ...]]
Computed = Mapping[str, Callable[[random.Random], str]]
Inflection = Callable[[str, str | None], str]


def _content_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def read_word_classes(path: Path) -> WordClasses:
    """The classes of a vocabulary file: name to entries, as they are written."""
    classes: dict[str, list[str]] = {}
    for line in _content_lines(path):
        name, entries = line.split(":")
        classes.setdefault(name.strip(), []).extend(entries.split())
    return {name: tuple(entries) for name, entries in classes.items()}


def read_rules(path: Path, classes: WordClasses) -> Rules:
    """The rules of a grammar file. A word class is a rule, too, and wins over one of its name."""
    lines: dict[str, list[tuple[str, int]]] = {}
    name = ""
    for line in _content_lines(path):
        if line.startswith("["):
            name = line.strip("[] ")
            lines[name] = []
        else:
            weighted = _WEIGHT.fullmatch(line)
            lines[name].append((weighted[2], int(weighted[1])) if weighted else (line, 1))
    rules = {name: entries or [("", 1)] for name, entries in lines.items()}
    for name, entries in classes.items():
        rules[name] = [(entry, 1) for entry in entries]
    return {
        name: (tuple(text for text, _ in entries), tuple(accumulate(n for _, n in entries)))
        for name, entries in rules.items()
    }


def uninflected(entry: str, form: str | None) -> str:
    """The forms of a language whose words have none.

    Raises:
        ValueError: a slot asks for a form.
    """
    if form is not None:
        raise ValueError(f"the words of this language have no form {form!r}")
    return entry


def expand(
    rule: str,
    rng: random.Random,
    rules: Rules,
    computed: Computed,
    inflected: Inflection = uninflected,
) -> str:
    """One text of a rule: a computed slot, or one of its lines with every slot filled.

    Raises:
        KeyError: neither `rules` nor `computed` knows a slot.
    """
    if rule in computed:
        return computed[rule](rng)
    texts, cumulative = rules[rule]

    def filled(slot: re.Match[str]) -> str:
        return inflected(expand(slot[1], rng, rules, computed, inflected), slot[2])

    return SLOT.sub(filled, rng.choices(texts, cum_weights=cumulative)[0])
