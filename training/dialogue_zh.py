"""What is talked about in Mandarin; the notation is explained in dialogue_topics.py.

Marks are written , . ? here and become ，。？ in the texts.
"""

from itertools import product

from training import dialogue_fillings as fillings
from training.dialogue_fillings import Fillings
from training.dialogue_topics import Branch, Talk, Topic
from training.numerals_zh import in_hanzi

FORMS = {
    "?": (
        "{}?",
        "奇米,{}?",
        "请问,{}?",
        "你好,{}?",
        "请告诉我,{}?",
        "你知道{}吗?",
        "我想知道,{}?",
    ),
    ".": ("{}.", "请{}.", "奇米,{}.", "奇米,请{}.", "你能{}吗?", "现在{}."),
    "": (
        "告诉我{}.",
        "请告诉我{}.",
        "奇米,告诉我{}.",
        "我想知道{}.",
        "你知道{}吗?",
        "你能告诉我{}吗?",
    ),
    "!": ("{}.",),
    "?!": ("{}?", "奇米,{}?", "请问,{}?", "你好,{}?"),
}
FOLLOW_FORMS = {
    "?": ("{}?", "好,{}?", "奇米,{}?", "谢谢,{}?", "请问,{}?"),
    ".": ("{}.", "请{}.", "奇米,{}.", "你能{}吗?", "好,请{}."),
    "!": ("{}.",),
}
RECALL_WORDINGS = (
    *("我刚才说了什么?", "我说了什么?", "我刚才问了什么?", "我问了什么?"),
    *("你听到了什么?",),
)
AGAIN_WORDINGS = ("再说一遍.", "再说一次.", "重复一遍.", "重复你的回答.", "再回答一遍.")

_DAYS = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期天")
_CAPITALS = {
    "法国": "巴黎",
    "英国": "伦敦",
    "德国": "柏林",
    "意大利": "罗马",
    "西班牙": "马德里",
    "日本": "东京",
    "中国": "北京",
    "俄罗斯": "莫斯科",
}
_COLOURS = {
    "香蕉": "黄色",
    "草": "绿色",
    "树叶": "绿色",
    "天空": "蓝色",
    "大海": "蓝色",
    "雪": "白色",
    "牛奶": "白色",
    "云": "白色",
    "盐": "白色",
    "米饭": "白色",
    "橙子": "橙色",
    "苹果": "红色",
    "西红柿": "红色",
    "咖啡": "棕色",
    "大象": "灰色",
    "夜晚": "黑色",
}
_SOUNDS = {
    "狗": "汪汪",
    "猫": "喵喵",
    "牛": "哞哞",
    "羊": "咩咩",
    "鸭子": "嘎嘎",
    "小鸟": "叽叽",
    "蜜蜂": "嗡嗡",
    "猪": "哼哼",
}
_OPPOSITES = {
    "热": "冷",
    "大": "小",
    "长": "短",
    "高": "低",
    "新": "旧",
    "快": "慢",
    "早": "晚",
    "硬": "软",
    "重": "轻",
    "高兴": "难过",
    "干净": "脏",
    "满": "空",
    "开": "关",
    "对": "错",
    "强": "弱",
    "多": "少",
    "远": "近",
    "好": "坏",
}
_NAMES = ("小明", "小红", "小华", "小丽", "小王", "小李", "安娜", "大卫")
_GREETINGS = ("你好", "您好", "早上好", "下午好", "晚上好")
_FAREWELLS = ("再见", "晚安", "明天见", "回头见", "下次见")


def _greeting() -> Topic:
    hello = Branch(
        wordings=(
            *("{hello}!", "{hello},奇米!", "奇米,{hello}!", "{hello},我的朋友!"),
            *("好,{hello}!", "{hello},{hello}!", "{hello},我来了!"),
        ),
        answer="{hello},我能帮你什么?",
        core="{hello}",
        recall="你说,{hello}.",
        fillings=tuple({"hello": hello} for hello in _GREETINGS),
    )
    name = Branch(
        wordings=(
            *("我叫{name}!", "我是{name}!", "你好,我叫{name}!", "你好,我是{name}!"),
            *(
                "我的名字是{name}!",
                "你好,我的名字是{name}!",
                "奇米,我是{name}!",
                "您好,我叫{name}!",
            ),
        ),
        answer="你好,{name},很高兴认识你.",
        core="{name}",
        recall="你说,你叫{name}.",
        fillings=tuple({"name": name, "result": name} for name in _NAMES),
    )
    my_name = Branch(
        wordings=(),
        answer="你叫{name}.",
        core="{name}",
        fillings=tuple({"name": name, "first": name} for name in _NAMES),
        then_wordings=("我叫什么?", "我是谁?", "我的名字是什么?"),
    )
    how = Branch(
        wordings=("你好吗?!", "你今天好吗?!", "你怎么样?", "你今天怎么样?", "你最近好吗?!"),
        answer="我很好,谢谢.",
        core="我很好",
        recall="你问我好不好.",
    )
    return Topic("greeting", 3, (hello, name, my_name, how))


def _farewell() -> Topic:
    bye = Branch(
        wordings=(
            *("{bye}!", "{bye},奇米!", "奇米,{bye}!", "{bye},我的朋友!", "好,{bye}!"),
            *("谢谢,{bye}!", "我走了,{bye}!", "我要走了,{bye}!"),
        ),
        answer="{bye},下次再聊.",
        core="{bye}",
        recall="你说,{bye}.",
        fillings=tuple({"bye": bye} for bye in _FAREWELLS),
    )
    thanks = Branch(
        wordings=(
            *("谢谢!", "谢谢你!", "谢谢你,奇米!", "谢谢,奇米!", "多谢!", "非常谢谢!"),
            *("谢谢你的帮助!", "谢谢您!"),
        ),
        answer="不客气.",
        core="不客气",
        recall="你说,谢谢.",
    )
    return Topic("farewell", 2, (bye, thanks))


def _identity() -> Topic:
    name = Branch(
        wordings=(
            "你叫什么?",
            "你叫什么名字?",
            "你是谁?",
            "你的名字是什么?",
            "你的名字",
            "你是什么?",
        ),
        answer="我叫奇米,我是语音助手.",
        core="奇米",
        recall="你问我是谁.",
    )
    person = Branch(
        wordings=("你是人吗?!", "你是男人吗?!", "你是女人吗?!", "你是不是人?", "你是学生吗?!"),
        answer="不是,我是语音助手.",
        core="语音助手",
        recall="你问我是不是人.",
    )
    return Topic("identity", 2, (name, person))


def _abilities() -> Topic:
    can = Branch(
        wordings=(
            *("你会做什么?", "你能做什么?", "你会什么?", "你能帮我做什么?", "你能帮我什么?"),
            *("我能问你什么?", "你可以做什么?"),
        ),
        answer="我会听,会说,会回答问题.",
        core="会听会说会回答问题",
        recall="你问我会做什么.",
    )
    languages = Branch(
        wordings=(
            *("你会说中文吗?!", "你会说英文吗?!", "你会说什么语言?", "你能说中文吗?!"),
            *("你能说英文吗?!", "你说什么语言?"),
        ),
        answer="我会说中文和英文.",
        core="中文和英文",
        recall="你问我会说什么语言.",
    )
    return Topic("abilities", 2, (can, languages))


def _sums() -> Topic:
    branches = (
        *_sum_branches("加", fillings.sums(in_hanzi)),
        *_sum_branches("减", fillings.differences(in_hanzi)),
    )
    return Topic("sums", 10, branches, has_rivals=True)


def _sum_branches(sign: str, sums: Fillings) -> tuple[Branch, Branch]:
    """Small numbers and large ones; only small sums are said back, to keep the answers few."""
    task = f"{{first}}{sign}{{second}}"
    small, large = fillings.small_and_large(sums, in_hanzi)

    def branch(chosen: Fillings, recall: str) -> Branch:
        return Branch(
            wordings=(
                *(f"{task}等于几?", f"{task}是多少?", f"{task}等于多少?", f"{task}得多少?"),
                *(f"{task}的结果是多少?", f"算一下{task}.", f"{task}的结果"),
            ),
            answer=f"{task}等于{{result}}.",
            core="{result}",
            recall=recall,
            fillings=chosen,
            then_wordings=(
                *(f"再{sign}{{second}}呢?", f"{sign}{{second}}呢?", f"那{sign}{{second}}呢?"),
                f"再{sign}{{second}}等于几?",
            ),
            variety=5,
        )

    return branch(small, f"你说,{task}."), branch(large, "")


def _weekdays() -> Topic:
    def branch(side: str, day_before: str, step: int) -> Branch:
        return Branch(
            wordings=(
                *(f"{{day}}之{side}是星期几?", f"{{day}}{side}面是星期几?"),
                *(f"{{day}}的{day_before}是星期几?", f"{{day}}{side}一天是星期几?"),
                *(
                    f"{{day}}之{side}是哪一天?",
                    f"{{day}}的{day_before}",
                    f"{{day}}{side}面是哪一天?",
                ),
            ),
            answer=f"{{day}}之{side}是{{other}}.",
            core="{other}",
            recall=f"你说,{{day}}之{side}.",
            fillings=fillings.neighbours(_DAYS, step),
            and_wordings=(f"{{day}}之{side}呢?", f"那{{day}}之{side}呢?", f"{{day}}{side}面呢?"),
        )

    branches = (branch("后", "后一天", 1), branch("前", "前一天", -1))
    return Topic("weekdays", 4, branches, has_rivals=True)


def _capitals() -> Topic:
    capital = Branch(
        wordings=(
            *("{country}的首都是哪里?", "{country}的首都是什么?", "{country}的首都在哪里?"),
            *("{country}的首都叫什么?", "{country}的首都是哪个城市?", "{country}的首都"),
            *("哪个城市是{country}的首都?", "{country}首都的名字"),
        ),
        answer="{country}的首都是{city}.",
        core="{city}",
        recall="你说,{country}的首都.",
        fillings=tuple({"country": c, "city": city} for c, city in _CAPITALS.items()),
        and_wordings=("{country}呢?", "那{country}呢?", "{country}的呢?"),
    )
    return Topic("capitals", 4, (capital,), has_rivals=True)


def _colours() -> Topic:
    colour = Branch(
        wordings=(
            *("{thing}是什么颜色?", "{thing}是什么颜色的?", "{thing}的颜色是什么?"),
            *("{thing}的颜色", "{thing}有什么颜色?", "什么是{thing}的颜色?"),
        ),
        answer="{thing}是{colour}的.",
        core="{colour}",
        recall="你说,{thing}的颜色.",
        fillings=tuple({"thing": thing, "colour": c} for thing, c in _COLOURS.items()),
        and_wordings=("{thing}呢?", "那{thing}呢?", "{thing}的颜色呢?"),
    )
    return Topic("colours", 4, (colour,), has_rivals=True)


def _animals() -> Topic:
    sound = Branch(
        wordings=(
            *("{animal}怎么叫?", "{animal}是怎么叫的?", "{animal}的叫声是什么?", "{animal}的叫声"),
            *("{animal}会怎么叫?", "{animal}的声音是什么?", "学{animal}叫.", "学一下{animal}叫."),
        ),
        answer="{animal}会{sound}叫.",
        core="{sound}",
        recall="你说,{animal}的叫声.",
        fillings=tuple({"animal": animal, "sound": s} for animal, s in _SOUNDS.items()),
        and_wordings=("{animal}呢?", "那{animal}呢?", "{animal}的叫声呢?"),
    )
    return Topic("animals", 3, (sound,), has_rivals=True)


def _counting() -> Topic:
    up = Branch(
        wordings=(
            "从一数到{n}.",
            "数到{n}.",
            "从一开始数到{n}.",
            "数数,数到{n}.",
            "数一数,从一到{n}.",
        ),
        answer="{counted}.",
        core="{core}",
        recall="你说,数到{n}.",
        fillings=fillings.counts(in_hanzi, 1, ","),
        and_wordings=("数到{n}呢?", "那数到{n}呢?"),
    )
    down = Branch(
        wordings=(
            "从{n}数到一.",
            "从{n}倒数到一.",
            "从{n}倒数.",
            "从{n}开始倒数.",
            "倒数,从{n}到一.",
        ),
        answer="{counted}.",
        core="{core}",
        recall="你说,从{n}倒数.",
        fillings=fillings.counts(in_hanzi, -1, ","),
        and_wordings=("从{n}倒数呢?", "那从{n}倒数呢?"),
    )
    return Topic("counting", 3, (up, down), has_rivals=True)


def _opposites() -> Topic:
    opposite = Branch(
        wordings=(
            *("{word}的反义词是什么?", "{word}的反义词是哪个?", "什么是{word}的反义词?"),
            *("{word}的反义词", "{word}的反面是什么?", "哪个词是{word}的反义词?"),
        ),
        answer="{word}的反义词是{other}.",
        core="{other}",
        recall="你说,{word}的反义词.",
        fillings=fillings.opposites(_OPPOSITES),
        and_wordings=("{word}呢?", "那{word}呢?", "{word}的呢?"),
        variety=12,
    )
    return Topic("opposites", 4, (opposite,), has_rivals=True)


# What is said after 跟我说: every line is multiplied out.
_PHRASES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("红色的", "绿色的", "蓝色的", "黑色的", "新的", "旧的", "我的"),
        ("车", "门", "书", "球", "水果", "衣服"),
    ),
    (("小", "大", "高兴的", "黑色的", "白色的"), ("狗", "猫", "鸟", "马", "鱼", "羊")),
    (
        ("我喜欢", "我想要", "我们有", "她喜欢"),
        ("米饭", "牛奶", "茶", "苹果", "音乐", "水", "香蕉"),
    ),
    (("早上好,", "谢谢你,", "你好,", "再见,"), _NAMES),
    (("打开", "关上", "这是"), ("窗户", "门", "灯", "电脑")),
    (("妈妈", "爸爸", "我的朋友", "老师", "他", "她"), ("很",), ("高兴", "累", "忙", "好")),
    (("在",), ("家", "学校", "车站", "公园", "商店"), ("里面", "前面", "后面")),
    (_DAYS, ("见", "早上", "晚上")),
    (("今天很", "明天很", "昨天很"), ("热", "冷", "高兴")),
)


def phrases() -> tuple[str, ...]:
    """The short phrases that are repeated."""
    return tuple("".join(parts) for line in _PHRASES for parts in product(*line))


def _repeating() -> Topic:
    repeat = Branch(
        wordings=(
            *("跟我说,{phrase}.", "跟我读,{phrase}.", "重复,{phrase}.", "说,{phrase}."),
            *("跟着我说,{phrase}.", "重复我的话,{phrase}."),
        ),
        answer="{phrase}.",
        core="{phrase}",
        recall="你说,{phrase}.",
        fillings=tuple({"phrase": phrase} for phrase in phrases()),
        and_wordings=(
            *("再说,{phrase}!", "现在说,{phrase}!", "再说一个,{phrase}!", "再跟我说,{phrase}!"),
            *("好,说,{phrase}!", "再重复,{phrase}!"),
        ),
        is_open=True,
    )
    return Topic("repeating", 5, (repeat,))


TALK = Talk(
    language="zh",
    topics=(
        *(_greeting(), _farewell(), _identity(), _abilities(), _sums(), _weekdays()),
        *(_capitals(), _colours(), _animals(), _counting(), _opposites(), _repeating()),
    ),
    forms=FORMS,
    follow_forms=FOLLOW_FORMS,
    recall_wordings=RECALL_WORDINGS,
    again_wordings=AGAIN_WORDINGS,
)
