"""Letters as CTC targets: what a readout spells. Id 0 is the CTC blank."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

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


def letter_loss(logits: Tensor, letters: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """CTC loss a letter, averaged over the rows that have any: hanzi and noises spell nothing.

    logits: (B, T, letters + 1); lengths: (B,) frames of each row.
    """
    counts = torch.tensor([len(ids) for ids in letters])
    spelled = counts.nonzero()[:, 0]
    if not len(spelled):
        return logits.new_zeros(())
    losses = F.ctc_loss(
        logits[spelled.to(logits.device)].float().log_softmax(-1).transpose(0, 1),
        torch.cat(list(letters)).to(logits.device),
        lengths[spelled.to(lengths.device)],
        counts[spelled],
        reduction="none",
        zero_infinity=True,
    )
    return (losses / counts[spelled].to(losses.device)).mean()
