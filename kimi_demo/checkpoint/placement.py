"""Where each part of the model computes, and in which precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Placement:
    """language_model: module name to device, as accelerate's device maps; "" is the whole model.

    speech_tokenizer: computes in float32 always, since its ids hang on small differences.
    """

    language_model: Mapping[str, str | int]
    speech_tokenizer: torch.device
    acoustic_encoder: torch.device
    detokenizer: torch.device
    dtype: torch.dtype

    @classmethod
    def on(cls, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Placement:
        """Everything on one device."""
        whole = torch.device(device)
        return cls({"": str(whole)}, whole, whole, whole, dtype)

    @property
    def main_device(self) -> torch.device:
        """Where the language model's inputs go."""
        return torch.device(next(iter(self.language_model.values())))
