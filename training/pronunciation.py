"""How written text is pronounced, word by word: what the language model says to itself.

Before it writes a word that it heard, and before it answers a question, the model names the phones
of it in hidden tokens. Dictionary forms serve for every voice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from training.domain_zh import hanzi_of
from training.phones import PAUSE
from training.synthesizers import EspeakSynthesizer, FliteSynthesizer

_HANZI = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Spelled:
    """A word, or a hanzi, with the marks that cling to it, as it is written; and its phones."""

    written: str
    phones: tuple[str, ...]


class Pronouncer:
    """Looks words up in the synthesisers' dictionaries, and remembers them."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[str, ...]] = {}

    @cached_property
    def _flite(self) -> FliteSynthesizer:
        return FliteSynthesizer("slt")

    @cached_property
    def _espeak(self) -> EspeakSynthesizer:
        return EspeakSynthesizer()

    def __call__(self, text: str) -> list[Spelled]:
        """The text in pieces; joined, their `written` is the text."""
        return self._mandarin(text) if _HANZI.search(text) else self._english(text)

    def phones(self, text: str) -> list[str]:
        """All phones of a text."""
        return [phone for word in self(text) for phone in word.phones]

    def _english(self, text: str) -> list[Spelled]:
        words = re.findall(r"\s*\S+(?:\s+$)?", text)
        return [Spelled(w, self._of_word(re.sub(r"[^a-z']", "", w.lower()))) for w in words]

    def _of_word(self, word: str) -> tuple[str, ...]:
        if word not in self._words:
            self._words[word] = self._looked_up(word)
        return self._words[word]

    def _looked_up(self, word: str) -> tuple[str, ...]:
        if len(word) > 1 and "'" not in word:
            return self._flite.pronounced(word)
        # The lexicon has no short forms, and letters under their names only: these are spoken.
        spoken = self._flite(word).phones if word else ()
        return tuple(phone.name for phone in spoken if phone.name != PAUSE)

    def _mandarin(self, text: str) -> list[Spelled]:
        """Hanzi by hanzi; without phones if espeak reads another number of syllables."""
        syllables = self._espeak.syllables(text)
        if len(syllables) != len(hanzi_of(text)):
            syllables = [()] * len(hanzi_of(text))
        pieces = re.findall("[^\u4e00-\u9fff]*[\u4e00-\u9fff][^\u4e00-\u9fff]*", text)
        return [Spelled(piece, phones) for piece, phones in zip(pieces, syllables, strict=True)]
