"""What a checkpoint says of itself, known before it is loaded and without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of itself in checkpoint.json and, at length, in CARD.md.

    parameters: learned values of all parts; 0 if it does not say.
    """

    name: str = "Kimi-Audio"
    label: str = "Kimi-Audio as released."
    languages: tuple[str, ...] = ("en", "zh")
    card: str = ""
    parameters: int = 0

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Of a checkpoint's folder; what is published where it says nothing."""
        card_path, path = folder / "CARD.md", folder / "checkpoint.json"
        card = card_path.read_text(encoding="utf-8") if card_path.exists() else ""
        if not path.exists():
            return cls(card=card)
        values = json.loads(path.read_text(encoding="utf-8"))
        languages = tuple(values["languages"])
        return cls(values["name"], values["label"], languages, card, values.get("parameters", 0))
