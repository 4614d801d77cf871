"""Letters as CTC targets: what a readout spells. Id 0 is the CTC blank."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = " abcdefghijklmnopqrstuvwxyz'"


def letter_ids(text: str) -> list[int]:
    """Known letters of a text, in lower case, as ids from 1."""
    return [LETTERS.index(letter) + 1 for letter in text.lower() if letter in LETTERS]


def read_letters(ids: Sequence[int], collapse: bool = True) -> str:
    """Ids to text; `collapse` drops repetitions and blanks as CTC wants."""
    kept = []
    previous = 0
    for index in ids:
        if index and not (collapse and index == previous):
            kept.append(LETTERS[index - 1])
        previous = index
    return "".join(kept)
