"""The figures of evaluation: what counts of a text, error rates, shares, aims."""

import pytest

from training.evaluation.rows import Figure, Row, read_rows
from training.evaluation.scores import error_rates, share, words_of
from training.evaluation.table import SECTIONS


def test_case_marks_digits_and_script_make_no_difference() -> None:
    assert words_of("It is 8 O'Clock!", "en") == words_of("it is eight o'clock", "en")
    assert words_of("他有3本書。", "zh") == ["他", "有", "三", "本", "书"]
    assert error_rates([("I have 12 cats.", "i have TWELVE cats")], "en").value == 0.0
    assert error_rates([("他有3本书。", "他有三本書")], "zh").value == 0.0


def test_what_cannot_be_read_is_no_word() -> None:
    assert words_of("это", "en") == []
    assert error_rates([("yes, of course", "это")], "en").value == 1.0


def test_english_is_counted_in_words_and_letters() -> None:
    figure = error_rates([("one two three four", "one too four"), ("yes", "yes")], "en")
    assert figure.value == pytest.approx(2 / 5)
    assert figure.more["beside"]["CER"] == pytest.approx(
        7 / 21, abs=1e-4
    )  # "two three " loses seven letters
    assert figure.count == 2
    assert figure.more["amiss"] == [("one two three four", "one too four")]


def test_mandarin_is_counted_in_hanzi_and_syllables() -> None:
    figure = error_rates([("今天下雨。", "今天下雪。")], "zh")
    assert (figure.value, figure.more["beside"]) == (0.25, {"syllables": 0.25})
    same_sound = error_rates([("你叫王丽。", "你叫王立"), ("你好", "")], "zh")
    assert same_sound.value == 0.5
    assert same_sound.more["beside"] == {"syllables": pytest.approx(1 / 3, abs=1e-4)}


def test_babble_counts_up_to_twice_the_reference() -> None:
    babble = " ".join(["no"] * 40)
    assert error_rates([("good morning everybody", babble)], "en").value == 2.0
    assert error_rates([("你好吗", "不" * 40)], "zh").value == 2.0
    assert error_rates([("good morning", "")], "en").value == 1.0


def test_nothing_has_no_rate() -> None:
    assert error_rates([], "en") == Figure(None, 0)
    assert share([]) == Figure(None, 0)


def test_a_share_tells_what_was_wrong() -> None:
    figure = share([(True, "a"), (False, "b"), (True, "c")])
    assert (figure.value, figure.count) == (0.6667, 3)
    assert figure.more == {"amiss": ["b"]}


def test_error_rates_have_to_fall_and_shares_to_rise() -> None:
    rate = Row("speaks", "spoken", "speaks", "WER", 0.2, 0.1)
    assert rate.reaches(0.2, rate.aim)
    assert not rate.reaches(0.2, rate.stretch)
    right = Row("talks", "first", "talks", "right", 0.85, None)
    assert right.reaches(0.9, right.aim)
    assert not right.reaches(0.8, right.aim)
    assert right.reaches(0.9, right.stretch) is None
    assert right.reaches(None, right.aim) is None


def test_every_row_has_a_measurement_and_every_measurement_a_row() -> None:
    rows = read_rows()
    assert {row.section for row in rows} == set(SECTIONS)
    assert len({(row.section, row.key) for row in rows}) == len({r.name for r in rows}) == len(rows)
    assert all(row.aim is not None or row.stretch is None for row in rows)
