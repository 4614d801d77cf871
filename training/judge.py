"""Reads codes back as letters with the speech tokenizer's own readout: a cheap ear for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from training import shapes
from training.letters import read_letters
from training.train_speech_tokenizer import TokenizerTraining
from training.training import load_averaged


class CodeReader:
    """Codes to the letters that their speech would spell."""

    def __init__(self, module: TokenizerTraining) -> None:
        self._module = module.eval()

    @classmethod
    def load(cls, run_dir: Path, device: str = "cpu") -> CodeReader:
        module = TokenizerTraining(shapes.speech_tokenizer_config())
        return cls(load_averaged(module, run_dir).to(device))

    @torch.inference_mode()
    def __call__(self, codes: Sequence[int]) -> str:
        """At most a window of codes."""
        if not codes:
            return ""
        embedding = self._module.encoder.codebook
        ids = torch.tensor(codes[: shapes.WINDOW_POSITIONS], device=embedding.weight.device)[None]
        _, letters, _ = self._module.readout(embedding(ids), torch.ones_like(ids, dtype=torch.bool))
        return read_letters(letters[0].argmax(-1).tolist())
