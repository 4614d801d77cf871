"""The page's own scripts, as function bodies for the `js_on_load` of a component."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

STATIC = Path(__file__).parent / "static"


def static(name: str) -> str:
    """A file of the page."""
    return (STATIC / name).read_text(encoding="utf-8")


def script(
    names: Iterable[str], words: Mapping[str, dict[str, str]], prefix: str, **sources: str
) -> str:
    """Scripts one after the other, below the words whose keys begin with the prefix.

    sources: what else they find as constants.
    """
    dictionaries = {
        locale: {key: text for key, text in texts.items() if key.startswith(prefix)}
        for locale, texts in words.items()
    }
    constants = {**sources, "DICTIONARIES": dictionaries}
    head = (f"const {name} = {json.dumps(value)};" for name, value in constants.items())
    return "\n".join([*head, *(static(f"{name}.js") for name in names)])
