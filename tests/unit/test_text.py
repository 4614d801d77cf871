"""Spoken forms of written text."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_demo.errors import InputError
from kimi_demo.text import NORMALIZERS, language_of, spoken, unchanged

ENGLISH = [
    ("Hello, World!", "Hello, World!"),
    ("It’s 7:30, and “fine”.", "It's seven thirty, and \"fine\"."),
    ("3 cats; 1,299 dogs: -5 birds", "Three cats; one thousand two hundred and ninety nine dogs: "
     "minus five birds"),
    ("Pi is 3.14, not .5.", "Pi is three point one four, not zero point five."),
    ("the 1st, 22nd and 100th", "the first, twenty second and one hundredth"),
    ("In 1984, in 1905 and 2026", "In nineteen eighty four, in nineteen oh five and twenty twenty "
     "six"),
    ("1984 cats in the 1990s", "One thousand nine hundred and eighty four cats in the nineteen "
     "nineties"),
    ("on 2026-11-24", "on November twenty fourth, twenty twenty six"),
    ("11/24/2026, 24/11/2026", "November twenty fourth, twenty twenty six, November twenty fourth, "
     "twenty twenty six"),
    ("Nov 24, 2026 or 24 November", "November twenty fourth, twenty twenty six or the twenty "
     "fourth of November"),
    ("10:30, 9:05, 12:00, 15:05:10", "Ten thirty, nine oh five, twelve o'clock, fifteen oh five "
     "and ten seconds"),
    ("at 3pm or 10:30 a.m.", "at three P M or ten thirty A M."),
    ("$3.50, £20, €1,299, $0.99", "Three dollars and fifty cents, twenty pounds, one thousand two "
     "hundred and ninety nine euros, ninety nine cents"),
    ("$1.2 billion and $5M", "One point two billion dollars and five million dollars"),
    ("50% or 5%-10%", "Fifty percent or five percent to ten percent"),
    ("3-5 days, 1990-1995", "Three to five days, nineteen ninety to nineteen ninety five"),
    ("1/2, 3/4, 3 1/2 and ½", "One half, three quarters, three and a half and one half"),
    ("60 km/h, 5 kg, 1 km, 20 m²", "Sixty kilometers per hour, five kilograms, one kilometer, "
     "twenty square meters"),
    ("-5 °C, 512 MB, 3.2GHz", "Minus five degrees Celsius, five hundred and twelve megabytes, "
     "three point two gigahertz"),
    ("call +1 (415) 555-2671", "call plus one, four one five, five five five, two six seven one"),
    ("info@example.com", "info at example dot com"),
    ("See https://www.example.org/a_b.", "See W W W dot example dot org slash A underscore B."),
    ("Mr. Lee met Dr. Hu, e.g. in Main St. or St. Louis.", "Mister Lee met Doctor Hu, for example "
     "in Main Street or Saint Louis."),
    ("See No. 5, pp. 3-5, i.e. cats vs. dogs, etc.", "See number five, pages three to five, that "
     "is cats versus dogs, et cetera."),
    ("The USA, the BBC and AI; NASA and NATO.", "The U S A, the B B C and A I; NASA and NATO."),
    ("PCs, NASA's, OK, STOP", "P C's, NASA's, okay, stop"),
    ("COVID-19, MP3, H2O, CA1234", "COVID nineteen, M P three, H two O, C A one two three four"),
    ("THIS IS VERY LOUD, BBC!", "This is very loud, B B C!"),
    ("Henry VIII, Chapter IV, World War II", "Henry the eighth, Chapter four, World War two"),
    ("2 + 2 = 4 & 9 - 4, #1", "Two plus two equals four and nine minus four, number one"),
    ("Python 3.11, v1.2.3, 192.168.0.1", "Python three point eleven, version one point two point "
     "three, one hundred and ninety two dot one hundred and sixty eight dot zero dot one"),
    ("It ended 3:2.", "It ended three to two."),
    ("I love 🍕 (really) — **so** much...", "I love, really, so much."),
    ("naïve café, Ærø, π", "naive cafe, AEro, pi"),
    ("a semi-final; it's 'so'", "a semi-final; it's so"),
    ('Call 911 for "5". Flight BA2490.', 'Call nine one one for "five". Flight B A two four nine '
     "zero."),
    ("1234567890, 007", "One two three four five six seven eight nine zero, zero zero seven"),
]  # fmt: skip
MANDARIN = [
    ("现在是7:30，气温20度。", "现在是七点三十分，气温二十度。"),
    ("下午3:30，2:05，12:00，15:05:10", "下午三点三十分，两点零五分，十二点，十五点零五分十秒"),
    ("3pm，7:30-9:00开门", "下午三点，七点三十分到九点开门"),
    ("今天是2026年11月24日，2026-05-03见", "今天是二零二六年十一月二十四日，二零二六年五月三日见"),
    ("1990-1995年，1990年代，2000年前", "一九九零到一九九五年，一九九零年代，两千年前"),
    ("第2个，2个，12个，22个，2号，2月", "第二个，两个，十二个，二十二个，二号，二月"),
    ("110，1005，2000，20000，100010个，200", "一百一十，一千零五，两千，两万，十万零一十个，两百"),
    ("有1,000,000人，100000001个", "有一百万人，一亿零一个"),
    ("气温-5℃，-3，20℃，2°", "气温零下五摄氏度，负三，二十摄氏度，二度"),
    ("涨了3.5%，-3%，5%-10%", "涨了百分之三点五，负百分之三，百分之五到百分之十"),
    ("占1/3，1 1/2，½", "占三分之一，一又二分之一，二分之一"),
    ("9-4等于几?买3~5个，3-5个", "九减四等于几？买三到五个，三到五个"),
    ("比分是3:2，1:100", "比分是三比二，一比一百"),
    ("电话13812345678，010-12345678，拨打110",
     "电话幺三八幺二三四五六七八，零幺零幺二三四五六七八，拨打幺幺零"),
    ("¥15，$2，€1,299，3元5角，¥3.50，¥1.5万",
     "十五元，两美元，一千两百九十九欧元，三元五角，三点五元，一点五万元"),
    ("跑了5km，60km/h，512MB，20m²，2L",
     "跑了五公里，六十公里每小时，五百一十二兆字节，二十平方米，两升"),
    ("3.14，1.2.3版，#1", "三点一四，一点二点三版，一号"),
    ("這是繁體字，頭髮，皇后，後天", "这是繁体字，头发，皇后，后天"),
    ("１２个！？二〇二六", "十二个！二零二六"),
    ("“你好”……我、《你》（好）", "“你好”，我、你，好"),
    ("我 叫 小明 😀", "我叫小明"),
    ("到3楼302房间，2.5米高", "到三楼三零二房间，二点五米高"),
]  # fmt: skip
MIXED = [
    ("我叫Kimi,你好.", "我叫 Kimi，你好。"),
    ("Kimi is 3, 我5岁。", "Kimi is three，我五岁。"),
    ("I have 3个苹果 and 2 pears.", "I have 三个苹果 and two pears."),
    ("用Python 3.11版本，我的iPhone 15。", "用 Python 三点一一版本，我的 iPhone 十五。"),
    ("AI很好，5G网络，NASA和GPT-4", "A I 很好，五 G 网络，NASA 和 G P T 四"),
    ("发到info@example.com吧", "发到 info 艾特 example 点 com 吧"),
    ("请问Mr. 王，e.g. 苹果", "请问 Mister 王，for example 苹果"),
    ("Hello，world！ Ｉｔ’s 7:30。", "Hello, world! It's seven thirty."),
    ("航班CA1234在10:30起飞", "航班 C A 一二三四在十点三十分起飞"),
]


@pytest.mark.parametrize(("written", "said"), [*ENGLISH, *MANDARIN, *MIXED])
def test_text_is_read_as_people_read_it(written, said):
    assert spoken(written) == said
    assert spoken(said) == said


@pytest.mark.parametrize("text", ["", " \n", "...", "?!", "🎙️", "“”", "、。", "\ud800", "()"])
def test_nothing_is_said_for_nothing(text):
    assert spoken(text) == ""


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Привет!", "Cyrillic"),
        ("你好 مرحبا", "Arabic"),
        ("これは本です", "Japanese kana"),
        ("한국", "Korean"),
        ("γεια σου", "Greek"),
        ("ə", "foreign Latin"),
    ],
)
def test_what_cannot_be_spoken_is_refused_by_name(text, script):
    with pytest.raises(InputError, match=script):
        spoken(text)


WRITTEN = [
    *(written for written, _ in [*ENGLISH, *MANDARIN, *MIXED]),
    *(
        "Mr.",
        "St.",
        "p.m.",
        "-",
        "–",
        "—",
        ".",
        "...",
        "。",
        "“",
        '"',
        "'",
        "&",
        "@",
        "/",
        "个",
        "x",
    ),
    *(
        "5",
        "1,0",
        "$",
        "km",
        "°C",
        "%",
        "USA",
        "iv",
        "Henry ",
        "Part ",
        "年",
        "比分",
        "=",
        "#",
        "^",
    ),
]
PIECES = st.lists(st.sampled_from(WRITTEN), max_size=5)
TEXTS = st.one_of(
    PIECES.map("".join),
    PIECES.map(" ".join),
    st.text(max_size=40),
    st.text(alphabet="aA1.2,-:/$%°'\"()我个年，。 @#&+=~^kmMBpS", max_size=25),
)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(TEXTS)
def test_any_text_is_refused_or_read_once_for_all(text):
    try:
        said = spoken(text)
    except InputError:
        return
    assert spoken(said) == said
    assert all(
        c in " .,?!;:'\"-，。？！；：、“”" or unicodedata.category(c) in ("Lu", "Ll", "Lo", "Lm")
        for c in said
    )
    assert len(said) <= 30 * len(text) + 30


def test_the_other_normalizer_keeps_text_as_it_is():
    assert NORMALIZERS["none"] is unchanged
    assert NORMALIZERS["spoken"] is spoken
    assert unchanged(" Ä 1\n") == " Ä 1\n"


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
