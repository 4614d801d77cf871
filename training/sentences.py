"""Sentences of one language for the embedded model, drawn from several sources by weight.

The same generator state gives the same sentence. One sentence in `HELD_OUT_PERIOD` belongs to
evaluation, by a hash of its words, and must not be trained on.
"""

import argparse
import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_PERIOD = 40

Maker = Callable[[random.Random], str]


@dataclass(frozen=True)
class Sentences:
    """makers: name of a source to a function that makes one sentence; weights: their shares.

    units_of: the words or characters that count, without punctuation; lengths: how many of them a
    sentence may have, and held_out_lengths how many a held-out one, by its source.
    """

    makers: Mapping[str, Maker]
    weights: Mapping[str, int]
    units_of: Callable[[str], Sequence[str]]
    lengths: range
    held_out_lengths: Mapping[str, range]
    held_out_path: Path

    def is_held_out(self, text: str) -> bool:
        """Whether a sentence belongs to evaluation. Case and punctuation do not matter."""
        digest = hashlib.sha1(self._key(text).encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest, "big") % HELD_OUT_PERIOD == 0

    def draw(self, rng: random.Random, sources: Iterable[str] = ()) -> str:
        """One sentence from any of these sources, or of all; it may be a held-out one."""
        names = tuple(sources) or tuple(self.weights)
        make = self.makers[rng.choices(names, weights=[self.weights[name] for name in names])[0]]
        while True:
            text = make(rng)
            if len(self.units_of(text)) in self.lengths:
                return text

    def draw_for_training(self, rng: random.Random) -> str:
        """One sentence that is not held out."""
        while True:
            text = self.draw(rng)
            if not self.is_held_out(text):
                return text

    def build_held_out(self, seed: int = 7, count: int = 100) -> list[str]:
        """Different held-out sentences: three of templates, then one of the grammar."""
        rng, kept = random.Random(seed), {}
        while len(kept) < count:
            source = "grammar" if len(kept) % 4 == 3 else "template"
            text = self.draw(rng, (source,))
            if self.is_held_out(text) and len(self.units_of(text)) in self.held_out_lengths[source]:
                kept.setdefault(self._key(text), text)
        return list(kept.values())

    def read_held_out(self) -> list[str]:
        """The sentences evaluation uses, as they are committed."""
        return self.held_out_path.read_text(encoding="utf-8").splitlines()

    def write_held_out(self, count: int) -> None:
        """The command of a language's module."""
        parser = argparse.ArgumentParser(description="Write the held-out sentences.")
        parser.add_argument("--out", type=Path, default=self.held_out_path)
        sentences = self.build_held_out(count=count)
        parser.parse_args().out.write_text("\n".join(sentences) + "\n", encoding="utf-8")

    def _key(self, text: str) -> str:
        units = self.units_of(text)
        return units if isinstance(units, str) else " ".join(units)
