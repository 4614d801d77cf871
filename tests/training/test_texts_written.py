import pytest

from training.texts.spoken import as_spoken
from training.texts.written import as_written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("kimi, please count down from eight.", "Kimi, please count down from eight."),
        ("the capital of france is paris.", "The capital of France is Paris."),
        ("the capital of india is new delhi.", "The capital of India is New Delhi."),
        ("seventeen plus zero, how much is that?", "17 plus 0, how much is that?"),
        ("i have three dogs.", "I have three dogs."),
        ("there are twenty one stones.", "There are 21 stones."),
        ("four, three, two, one.", "4, 3, 2, 1."),
        ("count from forty four to fifteen.", "Count from 44 to 15."),
        ("count from twelve down to one.", "Count from 12 down to 1."),
        ("come at five fifty seven on tuesday, please.", "Come at 5:57 on Tuesday, please."),
        ("it is half past three.", "It is half past three."),
        ("it is six o'clock.", "It is 6 o'clock."),
        ("it was built in nineteen eighty four.", "It was built in 1984."),
        ("fifty six percent of the students are busy.", "56% of the students are busy."),
        ("my phone number is one seven nine two five three.", "My phone number is 179253."),
        ("today is november twenty seventh.", "Today is November 27th."),
        ("what comes after may?", "What comes after May?"),
        ("you may march on.", "You may march on."),
        ("which is larger, three or nine?", "Which is larger, 3 or 9?"),
        ("one of twenty men.", "One of 20 men."),
        ("he lives on nassau street.", "He lives on Nassau Street."),
    ],
)
def test_english_is_written_as_people_do(text: str, written: str) -> None:
    assert as_written(text, "en") == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("十二加五等于十七。", "12加5等于17。"),
        ("十七加一一共是多少？", "17加1一共是多少？"),
        ("算一下八减六。", "算一下8减6。"),
        ("那加四呢？", "那加4呢？"),
        ("我的生日是九月二十六号。", "我的生日是9月26号。"),
        ("六月之前是五月。", "6月之前是5月。"),
        ("他九点三十四分到公园。", "他9点34分到公园。"),
        ("星期五晚上要买四十一个杯子。", "星期五晚上要买41个杯子。"),
        ("我有三只狗。", "我有三只狗。"),
        ("一，二，三，四。", "1，2，3，4。"),
        ("九比三大。", "9比3大。"),
        ("从八倒数。", "从八倒数。"),
        ("百分之二十的人。", "20%的人。"),
        ("他参加一个会议。", "他参加一个会议。"),
        ("我十分高兴。", "我十分高兴。"),
        ("二零二四年", "2024年"),
    ],
)
def test_mandarin_numbers_are_digits_where_people_write_digits(text: str, written: str) -> None:
    assert as_written(text, "zh") == written


@pytest.mark.parametrize(
    ("written", "language", "spoken"),
    [
        ("6 plus 2 is 8.", "en", "Six plus two is eight."),
        ("12加5等于17。", "zh", "十二加五等于十七。"),
        ("3，2，1。", "zh", "三，二，一。"),
        ("我叫Kimi。", "zh", "我叫奇米。"),
    ],
)
def test_what_is_said_has_no_digits(written: str, language: str, spoken: str) -> None:
    assert as_spoken(written, language) == spoken
