"""Spoken forms of written text, for checkpoints that were trained on spelled-out words."""

from __future__ import annotations

from collections.abc import Callable

from kimi_demo.text.characters import HAN
from kimi_demo.text.mixed import language_of, spoken

__all__ = ["HAN", "NORMALIZERS", "language_of", "spoken", "unchanged"]


def unchanged(text: str) -> str:
    """For checkpoints that read text as people write it."""
    return text


NORMALIZERS: dict[str, Callable[[str], str]] = {"none": unchanged, "spoken": spoken}
