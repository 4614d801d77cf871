"""Spoken forms of written text."""

import pytest

from kimi_demo.text import NORMALIZERS, language_of, spoken, spoken_english, unchanged


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello, World!", "hello, world!"),
        ("It’s 7:30.", "it's seven thirty."),
        ("at 9:05", "at nine oh five"),
        ("at 12:00", "at twelve o'clock"),
        ("20°", "twenty degrees"),
        ("50% of 1,984", "fifty percent of one thousand nine hundred and eighty four"),
        ("57+32=89", "fifty seven plus thirty two equals eighty nine"),
        ("9 - 4", "nine minus four"),
        ("the 21st", "the twenty first"),
        ("3.5", "three point five"),
        ("call 1234567890", "call one two three four five six seven eight nine zero"),
        ("naïve café", "naive cafe"),
        ('semi-final; (really) "so"', "semi final really so"),
        ("a\n\tb", "a b"),
        ("你好", ""),
        ("", ""),
    ],
)
def test_english_is_spelled_out(written, spoken):
    assert spoken_english(written) == spoken


@pytest.mark.parametrize("text", ["7:30 & 21st", "x = 1,000.5%", "o'clock", "..."])
def test_spelling_out_twice_changes_nothing(text):
    once = spoken_english(text)
    assert spoken_english(once) == once


def test_the_other_normalizer_keeps_text_as_it_is():
    assert NORMALIZERS["none"] is unchanged
    assert unchanged(" Ä 1\n") == " Ä 1\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("现在是7:30，气温20度。", "现在是七点三十分，气温二十度。"),
        ("現在是12:00。", "現在是十二点。"),
        ("2:05见", "两点零五分见"),
        ("7:30-9:00开门", "七点三十分到九点开门"),
        ("今天是2024年5月3日", "今天是二零二四年五月三日"),
        ("2024-05-03见", "二零二四年五月三日见"),
        ("第2个，2个，12个，22个，2号", "第二个，两个，十二个，二十二个，二号"),
        ("110，1005，2000，20000，100010个", "一百一十，一千零五，两千，两万，十万零一十个"),
        ("有1,000,000人", "有一百万人"),
        ("100000001个", "一亿零一个"),
        ("零下：-5℃，-3", "零下，零下五度，负三"),
        ("涨了3.50%，占1/3", "涨了百分之三点五零，占三分之一"),
        ("9-4等于几?买3~5个", "九减四等于几？买三减五个"),
        ("买3~5个", "买三到五个"),
        ("1+2=3", "one plus two equals three"),
        ("电话13812345678，010-1234567", "电话一三八一二三四五六七八，零一零一二三四五六七"),
        ("¥20，$2，跑了5km", "二十元，两美元，跑了五公里"),
        ("１２个！？", "十二个！"),
        ("你好,世界.好吗?好!", "你好，世界。好吗？好！"),
        ("“你好”……我、《你》", "你好，我，你"),
        ("我 叫 小明", "我叫小明"),
        ("...你好\n", "你好"),
        ("", ""),
        ("😀", ""),
    ],
)
def test_mandarin_is_spelled_out(written, expected):
    assert spoken(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("我叫Kimi。", "我叫 kimi。"),
        ("Kimi,你好", "kimi，你好"),
        ("Kimi is 3, 我5岁。", "kimi is three, 我五岁。"),
        ("I have 3个苹果 and 2 pears.", "i have 三个苹果 and two pears."),
        ("At 7:30 I say “你好”.", "at seven thirty i say 你好。"),
        ("Hello，world！ Ｉｔ’s 7:30。", "hello, world! it's seven thirty."),
        ("Hello, World! 20%", "hello, world! twenty percent"),
    ],
)
def test_each_language_is_spelled_out_in_its_own_way(written, expected):
    assert spoken(written) == expected
    assert spoken(expected) == expected


@pytest.mark.parametrize(
    "text", ["现在是7:30，气温-5℃。", "我叫Kimi, 3岁!", "买2~3个 for 20%", "……好"]
)
def test_spelling_out_both_twice_changes_nothing(text):
    assert spoken(spoken(text)) == spoken(text)


@pytest.mark.parametrize(
    "text", ["1/" + "9" * 30 + "个", "٣个", "²个", "\ud800个", "个" * 600, "0000个", "1.2.3.个"]
)
def test_odd_mandarin_is_survived(text):
    assert set(spoken(text)) <= set("零一二三四五六七八九十百千万亿点分之个两。")


def test_the_page_can_name_the_normalizer():
    assert NORMALIZERS["spoken"] is spoken


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("你好", "zh"),
        ("我叫Kimi。", "zh"),
        ("Kimi says 你好 to everyone", "en"),
        ("Hello", "en"),
        ("it's café time", "en"),
        ("20°", "en"),
        ("", "en"),
        ("\ud800", "en"),
        ("𠮷野家", "zh"),
        ("你说hi", "zh"),
    ],
)
def test_the_language_is_that_of_most_words(text, language):
    assert language_of(text) == language
