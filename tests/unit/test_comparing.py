"""Words of one text that are not in another."""

import pytest

from kimi_demo.text.comparing import compared


def marked(text, other):
    pieces = compared(text, other)
    assert "".join(piece.text for piece in pieces) == text
    return "".join(f"<{piece.text}>" if piece.differs else piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("text", "other", "found"),
    [
        ("Hello, World!", "hello world", "Hello, World!"),
        ("It's fine.", "IT’S FINE", "It's fine."),
        ("It costs three dollars.", "It costs $3.", "It costs <three dollars>."),
        ("今天是二零二六年。", "今天是2026年", "今天是<二零二六>年。"),
        ("我有 three 个。", "我有3个", "我有 <three> 个。"),
        ("one two", "", "<one two>"),
        ("one two", "one more two", "one two"),
        ("(one), two.", "one", "(one), <two>."),
        ("...", "x", "..."),
        ("", "x", ""),
    ],
)
def test_other_words_are_found_and_nothing_is_lost(text, other, found):
    assert marked(text, other) == found


def test_hanzi_count_as_words():
    pieces = compared("我叫 Tom Thumb。", "他叫 Tom")
    assert [(piece.words, piece.differs) for piece in pieces] == [
        (1, True),
        (2, False),
        (0, False),
        (1, True),
        (0, False),
    ]
