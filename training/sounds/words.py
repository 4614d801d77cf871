"""What can be said about a sound: its caption, questions and their answers, in both languages.

All of it follows from what is heard alone: the same content gives the same caption.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from numpy.random import Generator

from training.sounds.signals import pick
from training.sounds.sources import NAMES, SILENCE, Name

Layout = Literal["alone", "together", "in turn"]
HELD_OUT_WORDINGS = 2  # the last ones of each kind of question in each language

_NUMBERS = ("no", "one", "two", "three", "four", "five")
_TIMES = ("never", "once", "twice", "three times", "four times", "five times")
_NUMBERS_ZH = ("零", "一", "两", "三", "四", "五")
_LANGUAGES_ZH = {"English": "英语", "Mandarin": "中文"}
_PEOPLE_ZH = {"man": "男人", "woman": "女人"}
_EMOTIONS_ZH = {
    **{"neutral": "平静", "happy": "高兴", "sad": "难过", "angry": "生气", "surprised": "惊讶"},
}
# Scene -> how a caption begins, and the place as an answer, in both languages.
_PLACES = {
    "street": ("On a street", "街上"),
    "kitchen": ("In a kitchen", "厨房里"),
    "forest": ("In a forest", "森林里"),
    "office": ("In an office", "办公室里"),
    "station": ("At a station", "车站里"),
    "concert": ("At a concert", "音乐会上"),
}
_UNQUESTIONED = 0.15  # of questions are typed without a capital and a question mark


@dataclass(frozen=True)
class Task:
    """name: caption, emotion, event, scene or ask. question: empty where the checkpoint's own
    prompt stands; a caption with a question is in the language of the question. answer: an option
    as it is listed for emotion, event and scene; a sentence otherwise.
    """

    name: str
    question: str
    answer: str


@dataclass(frozen=True)
class Content:
    """What is heard. sounds: (name, count or 0), by their beginning."""

    sounds: tuple[tuple[str, int], ...]
    layout: Layout = "alone"
    scene: str = ""
    emotion: str = ""

    def names(self) -> list[Name]:
        """In order in turn, otherwise as the table has them."""
        listed = list(NAMES)
        heard = [name for name, _ in self.sounds]
        ordered = heard if self.layout == "in turn" else sorted(heard, key=listed.index)
        return [NAMES[name] for name in ordered]


def read_wordings() -> dict[str, dict[str, list[str]]]:
    """Kind of question -> "en" or "zh" -> wordings."""
    return json.loads((files(__package__) / "questions.json").read_text(encoding="utf-8"))


_WORDINGS = read_wordings()
MANDARIN_CAPTION = "请描述这段音频中的声音。"  # the release asks for a caption with these words


def sentence(text: str, stop: str = ".") -> str:
    """With a capital and a stop: "a dog barks" -> "A dog barks."."""
    return text[:1].upper() + text[1:] + stop


def _listed(parts: Sequence[str], comma: str = ", ", last: str = " and ") -> str:
    return last.join(part for part in (comma.join(parts[:-1]), parts[-1]) if part)


def caption(content: Content) -> str:
    """One English sentence: "A dog barks twice, then rain falls."."""
    says = [_says(content, name) for name in content.names()]
    if content.layout == "in turn":
        return sentence(", then ".join(says))
    place = f"{_PLACES[content.scene][0]}, " if content.scene else ""
    mood = {"": "", "neutral": " and sounds calm"}.get(
        content.emotion, f" and sounds {content.emotion}"
    )
    return sentence(place + _listed(says) + mood)


def _says(content: Content, name: Name) -> str:
    count = _count(content, name)
    return f"{name.says} {_TIMES[count]}" if count else name.says


def _count(content: Content, name: Name) -> int:
    """Nobody counts what is heard through something else."""
    if content.layout == "together" or not name.counted:
        return 0
    return max(count for heard, count in content.sounds if NAMES[heard] == name)


def mandarin_caption(content: Content) -> str:
    """One Mandarin sentence: 狗叫了两声，然后在下雨。"""
    says = []
    for name in content.names():
        count = _count(content, name)
        says.append(name.zh_counted.format(_NUMBERS_ZH[count]) if count else name.zh_says)
    if content.layout == "in turn":
        return "，然后".join(says) + "。"
    place = f"{_PLACES[content.scene][1]}，" if content.scene else ""
    mood = f"，听起来很{_EMOTIONS_ZH[content.emotion]}" if content.emotion else ""
    return f"{place}{'，'.join(says)}{mood}。"


def _thing(name: Name) -> str:
    return f"a {name.event}" if name.group == "voice" else name.noun


def _things(name: Name, count: int) -> str:
    """`three beeps`, but `a dog`, however often it barks."""
    several = count > 1 and name.noun == f"a {name.counted[:-1]}"
    return f"{_NUMBERS[count]} {name.counted}" if several else _thing(name)


def _measure_word(name: Name) -> str:
    return name.zh_counted.split("{}")[1][0]


def _answers(content: Content) -> dict[str, tuple[str, str]]:
    """Kind of question -> its answers in English and Mandarin, without capital and stop."""
    names = content.names()
    answers = {
        "what": (_listed([_thing(n) for n in names]), _listed([n.zh for n in names], "、", "和"))
    }
    if len(names) == 1:
        answers["what"] = (_things(names[0], _count(content, names[0])), names[0].zh)
    for kind, group in (("speech", "voice"), ("animal", "animal"), ("music", "music")):
        found = [name for name in names if name.group == group]
        answers[kind] = (f"yes, {found[0].noun}", f"有，{found[0].zh}") if found else ("no", "没有")
    voices = [name for name in names if name.group == "voice"]
    if len(voices) == 1:
        person, _, language = voices[0].event.split()
        answers["speech"] = (f"yes, a {person}", f"有，一个{_PEOPLE_ZH[person]}")
        answers["who"] = (f"a {person}", _PEOPLE_ZH[person])
        answers["language"] = (language, _LANGUAGES_ZH[language])
    animals = [name for name in names if name.group == "animal"]
    if len(animals) == 1:
        answers["which animal"] = (animals[0].noun, animals[0].zh.removesuffix("声"))
    counted = [name for name in names if _count(content, name)]
    if len(counted) == 1:
        count = _count(content, counted[0])
        answers["count"] = (_NUMBERS[count], _NUMBERS_ZH[count] + _measure_word(counted[0]))
    if content.layout == "in turn":
        answers["first"] = (_thing(names[0]), names[0].zh)
        answers["last"] = (_thing(names[-1]), names[-1].zh)
    if content.scene:
        place, place_zh = _PLACES[content.scene]
        answers["place"] = (place, f"在{place_zh}")
    if content.emotion:
        answers["feeling"] = (content.emotion, f"很{_EMOTIONS_ZH[content.emotion]}")
    return answers


def tasks_of(rng: Generator, content: Content, held_out: bool = False) -> tuple[Task, ...]:
    """Everything that is asked about a sound: its captions, closed questions, and a few others.

    held_out: only with wordings that training never sees.
    """
    tasks = [
        Task("caption", "", caption(content)),
        Task("caption", MANDARIN_CAPTION, mandarin_caption(content)),
    ]
    names = content.names()
    if len(names) == 1:
        tasks.append(Task("event", "", names[0].event))
    if content.scene:
        tasks.append(Task("scene", "", content.scene))
    if content.emotion:
        tasks.append(Task("emotion", "", content.emotion))
    answers = _answers(content)
    for kind in _asked(rng, answers):
        tasks.append(_question(rng, kind, _filling(content, kind), answers[kind], "en", held_out))
        if rng.random() < 0.5:
            filling = _filling(content, kind, "zh")
            tasks.append(_question(rng, kind, filling, answers[kind], "zh", held_out))
    return (*tasks, _has(rng, content, held_out))


def _asked(rng: Generator, answers: dict[str, tuple[str, str]]) -> list[str]:
    """Always what is special to a sound, and only some of what can be asked of any."""
    special = ("count", "who", "language", "first", "last", "place", "feeling")
    kinds = [kind for kind in special if kind in answers]
    yes = [k for k in ("speech", "animal", "music") if answers[k][0] != "no"]
    no = [k for k in ("speech", "animal", "music") if k not in yes]
    kinds.append(pick(rng, yes if yes and rng.random() < 0.6 else no))
    if "which animal" in answers and rng.random() < 0.5:
        kinds.append("which animal")
    return [*kinds, "what"]


def _filling(content: Content, kind: str, language: str = "en") -> str:
    if kind != "count":
        return ""
    (name,) = [name for name in content.names() if _count(content, name)]
    return name.counted if language == "en" else name.zh_counted.format("几")


def _question(
    rng: Generator,
    kind: str,
    filling: str,
    answer: tuple[str, str],
    language: str,
    held_out: bool,
) -> Task:
    wordings = _WORDINGS[kind][language]
    apart = len(wordings) - HELD_OUT_WORDINGS
    question = pick(rng, wordings[apart:] if held_out else wordings[:apart]).format(filling)
    if language == "zh":
        return Task("ask", question, f"{answer[1]}。")
    if rng.random() < _UNQUESTIONED and not held_out:
        question = question[:1].lower() + question[1:].rstrip("?.")
    return Task("ask", question, sentence(answer[0]))


def _has(rng: Generator, content: Content, held_out: bool) -> Task:
    """Whether something is heard that is, or that is not."""
    heard = [name for name in content.names() if name.event != SILENCE]
    language = pick(rng, ("en", "en", "zh"))
    if heard and rng.random() < 0.5:
        name, answer = pick(rng, heard), ("yes", "有")
    else:
        events = {name.event for name in heard} | {SILENCE}
        nouns = {name.noun for name in heard}
        others = [n for n in NAMES.values() if n.event not in events and n.noun not in nouns]
        name, answer = pick(rng, others), ("no", "没有")
    filling = name.noun if language == "en" else name.zh
    return _question(rng, "has", filling, answer, language, held_out)
