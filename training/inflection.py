"""Regular English word forms, and the irregular ones that the vocabulary file spells out."""

import re

_THIRD_PERSON = {"have": "has", "do": "does", "go": "goes", "be": "is"}
# Stress lies on the last syllable (or the word has one syllable), so the last letter doubles.
_DOUBLING = frozenset(
    ["run", "swim", "sit", "get", "put", "cut", "stop", "win", "begin", "forget", "plan"]
)


def inflected(entry: str, form: str | None) -> str:
    """A vocabulary entry (`base`, `base/past` or `base~plural`) in the form asked for.

    form: None (as it is), "s" (plural or third person), "past" or "ing". In an entry of several
    words only the last one changes.
    """
    base, past, plural = _parts(entry)
    if form is None:
        return base
    if form == "s":
        return plural or _with_s(base)
    if form == "past":
        return past or _with_ed(base)
    if form == "ing":
        return _with_ing(base)
    raise ValueError(f"there is no word form {form!r}: s, past or ing")


def _parts(entry: str) -> tuple[str, str, str]:
    base, _, past = entry.partition("/")
    base, _, plural = base.partition("~")
    return base, past, plural


def _with_s(word: str) -> str:
    head, _, last = word.rpartition(" ")
    if last in _THIRD_PERSON:
        changed = _THIRD_PERSON[last]
    elif re.search(r"(s|x|z|ch|sh)$", last) or last in ("potato", "tomato"):
        changed = last + "es"
    else:
        changed = last[:-1] + "ies" if re.search(r"[^aeiou]y$", last) else last + "s"
    return f"{head} {changed}".strip()


def _with_ed(word: str) -> str:
    if word.endswith("e"):
        return word + "d"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ied"
    return _doubled(word) + "ed"


def _with_ing(word: str) -> str:
    if word.endswith("e") and not word.endswith("ee") and word != "be":
        return word[:-1] + "ing"
    return _doubled(word) + "ing"


def _doubled(word: str) -> str:
    return word + word[-1] if word in _DOUBLING else word
