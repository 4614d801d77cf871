"""Trains the embedded checkpoint's text tokenizer: byte-level BPE over sentences of its domain.

Layout of the text ids: base ranks (256 bytes and the merges), control tokens, one token for each
phone, reserve up to `TEXT_IDS`; the last id is pad. Audio codes follow.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from kimi_demo.model.text_tokenizer import (
    CONFIG_FILE,
    RANKS_FILE,
    SPECIAL_TOKENS_KEY,
    SPLIT_PATTERN,
    TextTokenizer,
    write_ranks,
)
from kimi_demo.model.vocabulary import published_special_tokens
from training.phones import PHONES

logger = logging.getLogger(__name__)

TEXT_IDS = 1536  # merges for English, one id for each Mandarin character, and some reserve
DEFAULT_MERGES = 390


def phone_token(phone: str) -> str:
    """The special token that stands in the text stream while `phone` is spoken."""
    return f"<|p:{phone}|>"


def special_tokens() -> tuple[str, ...]:
    """The named tokens of the release in their order, without its reserve, then the phones."""
    named = (name for name in published_special_tokens() if "reserved" not in name)
    return (*named, *map(phone_token, PHONES))


def train(
    texts: Iterable[str], merges: int, out: Path, characters: Iterable[str] = ()
) -> TextTokenizer:
    """Learns at most `merges` merges and writes both tokenizer files into `out`.

    characters: outside ASCII, each of which becomes one id.
    The same texts give the same files.
    Raises: ValueError if the ids would not fit below the audio codes.
    """
    ranks = with_characters(learn_ranks(texts, merges), characters)
    used = len(ranks) + len(special_tokens())
    if used >= TEXT_IDS:
        raise ValueError(f"{used} ids leave no room below id {TEXT_IDS}: learn fewer merges")
    out.mkdir(parents=True, exist_ok=True)
    write_ranks(out / RANKS_FILE, ranks)
    config = {SPECIAL_TOKENS_KEY: special_tokens()}
    (out / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return TextTokenizer.load(out)


def learn_ranks(texts: Iterable[str], merges: int) -> dict[bytes, int]:
    """Bytes to rank: every single byte under its own value, then the merges, most useful first."""
    tokenizer = Tokenizer(BPE())
    split = Split(Regex(SPLIT_PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = BpeTrainer(
        vocab_size=256 + merges,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    byte_of = _byte_of_letter()
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    pieces = (bytes(byte_of[letter] for letter in piece) for piece, _ in by_id)
    merged = [piece for piece in pieces if len(piece) > 1]
    ranks = {bytes([value]): value for value in range(256)}
    return ranks | {piece: 256 + n for n, piece in enumerate(merged)}


def with_characters(ranks: dict[bytes, int], characters: Iterable[str]) -> dict[bytes, int]:
    """Appends a rank for each character, and for the beginnings through which bytes merge into it.

    Nothing merges across characters, so that each is one step of the language model.
    """
    encoded = [character.encode() for character in sorted(set(characters))]
    beginnings = (c[:length] for length in (2, 3, 4) for c in encoded if len(c) >= length)
    new = (piece for piece in dict.fromkeys(beginnings) if piece not in ranks)
    return ranks | {piece: len(ranks) + n for n, piece in enumerate(new)}


def _byte_of_letter() -> dict[str, int]:
    """The byte behind each letter of GPT-2's printable alphabet: bytes that print stand for
    themselves, the others take the code points from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [value for value in range(256) if value not in set(printable)]
    letters = {chr(value): value for value in printable}
    return letters | {chr(256 + n): value for n, value in enumerate(hidden)}


def domain_texts(sentences: int, seed: int) -> Iterator[str]:
    """Random English sentences and dialogues of the closed domain, none of them held out."""
    from training import dialogue, domain

    rng = random.Random(seed)
    for _ in range(sentences):
        yield domain.SENTENCES.draw_for_training(rng)
        for exchange in dialogue.draw(rng, "en").exchanges:
            yield exchange.answer


def mandarin_characters(draws: int, seed: int) -> set[str]:
    """Every hanzi and full-width mark of the Mandarin domain, its dialogues and its sounds."""
    from training import dialogue, domain_zh, listening

    rng = random.Random(seed)
    texts = ["".join(domain_zh.characters()), "，。？！"]
    for _ in range(draws):
        texts += [e.question + e.answer for e in dialogue.draw(rng, "zh").exchanges]
    texts += listening.mandarin_texts()
    return {character for text in texts for character in text if ord(character) > 0x7F}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train text-tokenizer`."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the two tokenizer files")
    parser.add_argument("--sentences", type=int, default=60_000, help="sentences to learn from")
    parser.add_argument("--merges", type=int, default=DEFAULT_MERGES)
    parser.add_argument("--seed", type=int, default=1)


def run(args: argparse.Namespace) -> None:
    """Trains and says how long the domain's words became."""
    characters = mandarin_characters(args.sentences // 5, args.seed)
    texts = domain_texts(args.sentences, args.seed)
    tokenizer = train(texts, args.merges, args.out, characters)
    sample = list(domain_texts(1000, args.seed + 1))
    words = sum(len(text.split()) for text in sample)
    pieces = sum(len(tokenizer.encode(text)) for text in sample)
    logger.info("%d base ids, %.2f pieces a word", tokenizer.base_tokens, pieces / words)
