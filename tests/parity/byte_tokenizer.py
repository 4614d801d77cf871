"""The stand-in text tokenizer of the golden data: UTF-8 bytes, all other ids dropped."""

from __future__ import annotations

from collections.abc import Iterable


class ByteTokenizer:
    """Same interface as TextTokenizer; id = byte."""

    base_tokens = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", errors="replace"))

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(map(self.piece, ids)).decode("utf-8", errors="replace")

    def piece(self, token: int) -> bytes:
        return bytes([token]) if 0 <= token < 256 else b""
