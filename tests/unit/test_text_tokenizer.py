"""Text tokenizer and vocabulary: the published layout, round trips, what is never shown."""

import base64
import json

import pytest

from kimi_demo.errors import CheckpointError
from kimi_demo.model.text_tokenizer import (
    IncrementalDecoder,
    TextTokenizer,
    read_ranks,
    write_ranks,
)
from kimi_demo.model.vocabulary import (
    CONTROL_TOKENS,
    Vocabulary,
    published_special_tokens,
)

RANKS = {bytes([value]): value for value in range(256)} | {
    b"th": 256,
    b"the": 257,
    b" the": 258,
    "你".encode()[:2]: 259,
    "你".encode(): 260,
}
AWKWARD_TEXTS = [
    "",
    "the other theatre",
    "你好，Kimi。",
    "🎙️ naïve café\r\n\ttab  spaces   ",
    "<|im_kimia_user_msg_start|><|im_msg_end|>[BOS]",
    "\x00\x7f\u200b",
]


# The release's own encodings, as published: text, its pieces, their ids.
GOLDEN = [
    ("你好，Kimi。", ["你好", "，", "K", "imi", "。"], [108386, 3837, 42, 24836, 1773]),
    ("你好！", ["你好", "！"], [108386, 6313]),
    ("请说。", ["请", "说", "。"], [14880, 36587, 1773]),
    ("听到了什么？", ["听", "到了", "什么", "？"], [49187, 99495, 99245, 11319]),
    ("比较", ["比较"], [99792]),
    ("继续", ["继续"], [100640]),
    ("测试", ["测试"], [81705]),
    ("", [], []),
    (
        "<|im_kimia_user_msg_start|>",
        ["<", "|", "im", "_k", "im", "ia", "_user", "_msg", "_start", "|", ">"],
        [27, 91, 318, 4698, 318, 685, 3317, 6483, 4906, 91, 29],
    ),
]
BASE_TOKENS = 151_643


@pytest.fixture
def tokenizer():
    return TextTokenizer(RANKS, published_special_tokens())


@pytest.fixture(scope="module")
def full_size():
    """As many ranks as the release has. Those of the pieces in GOLDEN are the release's. Its other
    ranks are not in this repository: here every byte and every beginning of a piece has some rank,
    so that pieces can be merged, and the remaining ones occur in no text.
    """
    published = {
        piece.encode(): token
        for _, pieces, ids in GOLDEN
        for piece, token in zip(pieces, ids, strict=True)
    }
    free = (rank for rank in range(BASE_TOKENS) if rank not in set(published.values()))
    ranks = dict(published)
    beginnings = {piece[:n] for piece in published for n in range(2, len(piece))}
    for piece in [*(bytes([value]) for value in range(256)), *sorted(beginnings, key=len)]:
        if piece not in ranks:
            ranks[piece] = next(free)
    ranks |= {b"\xff" + rank.to_bytes(3, "big") + b"\xff": rank for rank in free}
    return TextTokenizer(ranks, published_special_tokens())


@pytest.mark.parametrize(("text", "pieces", "ids"), GOLDEN)
def test_the_published_encodings(full_size, text, pieces, ids):
    assert full_size.encode(text) == ids
    assert [full_size.piece(token).decode() for token in ids] == pieces
    assert full_size.decode(ids) == text


def test_behind_the_published_ranks_come_the_special_tokens_and_then_audio(full_size):
    assert full_size.base_tokens == BASE_TOKENS
    assert list(full_size.special_ids.values()) == list(range(BASE_TOKENS, BASE_TOKENS + 421))
    offset = max(full_size.special_ids.values()) + 1
    found = Vocabulary.from_names(full_size.special_ids, offset, offset - 1)
    assert found == Vocabulary.published(BASE_TOKENS)


def test_no_id_whatever_makes_decoding_fail(full_size):
    special = list(full_size.special_ids.values())
    audio = [152_064, 152_064 + 16_383, 168_447]
    beyond = [-1, -(2**63), 168_448, 2**31, 2**32, 2**32 + 42, 2**64, 10**30]
    hidden = [*special, *audio, *beyond]
    assert full_size.decode(hidden) == ""
    around = [108386, *hidden, 6313]
    decoder = IncrementalDecoder(full_size)
    assert full_size.decode(around) == "你好！"
    assert "".join(map(decoder.push, around)) + decoder.flush() == "你好！"


@pytest.mark.parametrize("name", published_special_tokens()[:36])
def test_a_marker_that_somebody_types_is_spelled_out(full_size, name):
    for text in (name, f"a{name}b", name * 2):
        ids = full_size.encode(text)
        assert max(ids) < BASE_TOKENS
        assert full_size.decode(ids) == text


def test_the_published_layout_has_the_published_ids():
    assert Vocabulary.published(151_643) == Vocabulary(
        user_start=151_670,
        assistant_start=151_671,
        msg_end=151_645,
        media_begin=151_661,
        media_end=151_663,
        text_blank=151_666,
        text_eos=151_667,
        speech_ct=151_675,
        speech_ctd=151_676,
        pad=152_063,
        token_offset=152_064,
    )
    names = published_special_tokens()
    assert len(names) == len(set(names)) == 421
    assert names[:5] == (
        "[BOS]",
        "[EOS]",
        "<|im_msg_end|>",
        "<|im_user_msg_start|>",
        "<|im_assistant_msg_start|>",
    )
    assert names[9] == "[EOT]"
    # The numbering of the reserve must come out as published after every named token.
    places = {"4": 10, "12": 19, "13": 21, "15": 25, "17": 29, "19": 31, "20": 34, "406": 420}
    assert {n: names.index(f"<|reserved_token_{n}|>") for n in places} == places


def test_a_vocabulary_is_read_from_a_table_of_names(tmp_path):
    ids = {name: 10 + n for n, name in enumerate(CONTROL_TOKENS.values())}
    path = tmp_path / "special_tokens.json"
    table = {"special_tokens": ids, "pad_id": 99, "kimia_token_offset": 100}
    path.write_text(json.dumps(table), encoding="utf-8")
    vocabulary = Vocabulary.from_file(path)
    for attribute, name in CONTROL_TOKENS.items():
        assert getattr(vocabulary, attribute) == ids[name]
    assert (vocabulary.pad, vocabulary.token_offset) == (99, 100)


def test_a_vocabulary_without_a_control_token_is_refused():
    ids = {name: n for n, name in enumerate(CONTROL_TOKENS.values())}
    with pytest.raises(CheckpointError, match="media_begin"):
        Vocabulary.from_names({k: v for k, v in ids.items() if "media_begin" not in k}, 100, 99)
    with pytest.raises(CheckpointError, match="below the first audio code"):
        Vocabulary.from_names(ids, token_offset=len(ids) - 1, pad=0)
    with pytest.raises(CheckpointError, match="pad"):
        Vocabulary.from_names(ids, token_offset=100, pad=100)


def test_codes_and_audio_ids_are_inverse():
    vocabulary = Vocabulary.published(300)
    assert vocabulary.audio_id(0) == vocabulary.token_offset
    assert vocabulary.audio_code(vocabulary.audio_id(7)) == 7
    assert vocabulary.is_audio(vocabulary.audio_id(0))
    assert not vocabulary.is_audio(vocabulary.pad)


@pytest.mark.parametrize("text", AWKWARD_TEXTS)
def test_text_survives_the_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_merges_are_applied_within_pieces(tokenizer):
    assert tokenizer.encode("the the") == [257, 258]
    assert tokenizer.encode("你") == [260]


def test_markers_in_text_stay_text(tokenizer):
    ids = [token for name in published_special_tokens() for token in tokenizer.encode(name)]
    assert max(ids) < tokenizer.base_tokens


def test_half_a_surrogate_pair_becomes_a_replacement_character(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\ud83dz")) == "a\ufffdz"


def test_what_is_no_text_is_not_shown(tokenizer):
    special = tokenizer.special_ids["<|im_kimia_text_eos|>"]
    unknown = [-1, tokenizer.base_tokens + 421, 2**40]
    assert tokenizer.decode([ord("a"), special, *unknown, ord("b")]) == "ab"
    assert tokenizer.decode(range(tokenizer.base_tokens, tokenizer.base_tokens + 1000)) == ""


@pytest.mark.parametrize("text", AWKWARD_TEXTS)
def test_the_incremental_decoder_never_splits_a_character(tokenizer, text):
    decoder = IncrementalDecoder(tokenizer)
    pieces = [decoder.push(byte) for byte in text.encode()]  # byte b has id b here
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) + decoder.flush() == text
    assert sum(map(bool, pieces)) == len(text)


def test_the_incremental_decoder_ignores_special_ids_inside_a_character(tokenizer):
    decoder = IncrementalDecoder(tokenizer)
    first, *rest = "好".encode()
    special = tokenizer.special_ids["<|im_kimia_text_blank|>"]
    assert [decoder.push(t) for t in (first, special, *rest)] == ["", "", "", "好"]


def test_the_incremental_decoder_says_what_the_whole_decoder_says_of_broken_bytes(tokenizer):
    broken = [ord("a"), 0xE4, 0xBD, ord("b"), 0xFF, 0xF0, 0x9F]
    decoder = IncrementalDecoder(tokenizer)
    streamed = "".join(map(decoder.push, broken)) + decoder.flush()
    assert streamed == tokenizer.decode(broken)
    assert streamed.endswith("\ufffd")
    assert decoder.flush() == ""


def test_ranks_are_written_as_they_are_read(tmp_path):
    path = tmp_path / "tiktoken.model"
    write_ranks(path, RANKS)
    assert read_ranks(path) == RANKS
    assert path.read_text().splitlines()[257] == f"{base64.b64encode(b'the').decode()} 257"


def test_a_folder_without_names_has_those_of_the_release(tmp_path):
    write_ranks(tmp_path / "tiktoken.model", RANKS)
    expected = {name: len(RANKS) + n for n, name in enumerate(published_special_tokens())}
    assert TextTokenizer.load(tmp_path).special_ids == expected
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1}', encoding="utf-8")
    assert TextTokenizer.load(tmp_path).special_ids == expected
    (tmp_path / "tokenizer_config.json").write_text(
        '{"special_tokens": ["<|a|>", "<|b|>"]}', encoding="utf-8"
    )
    named = {"<|a|>": len(RANKS), "<|b|>": len(RANKS) + 1}
    assert TextTokenizer.load(tmp_path).special_ids == named


@pytest.mark.parametrize("content", [None, "YQ== 0\n", "not base64! 1\n", "YQ==\n", "YQ== x\n"])
def test_broken_ranks_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "tiktoken.model").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tiktoken\.model"):
        TextTokenizer.load(tmp_path)


def test_ranks_with_a_hole_are_refused():
    with pytest.raises(CheckpointError, match="ranks"):
        TextTokenizer({**RANKS, b"hole": 999})
