"""What can be said about a sound: names of its classes, captions, questions and their answers.

All of it follows from the labels alone: the same events give the same caption.
"""

import random
import re
from collections.abc import Sequence

from training.scenes import EVENT_CLASSES
from training.sound_sources import BEEP
from training.speech_sounds import SPEECH_CLASSES

Events = Sequence[tuple[str, int, int]]

NUMBERS = ("no", "one", "two", "three", "four", "five")
NUMBERS_ZH = ("零", "一", "两", "三", "四", "五")

# Class -> (noun phrase, sentence without its stop, Mandarin name). Beeps are counted, see below.
_WORDING = {
    "siren": ("a siren", "a siren is sounding", "警笛声"),
    "bell": ("a bell", "a bell is ringing", "钟声"),
    "phone ring": ("a phone", "a phone is ringing", "电话铃声"),
    "alarm clock": ("an alarm clock", "an alarm clock is going off", "闹钟声"),
    "rain": ("rain", "rain is falling", "雨声"),
    "wind": ("wind", "the wind is blowing", "风声"),
    "thunder": ("thunder", "thunder is rolling", "雷声"),
    "engine": ("an engine", "an engine is running", "发动机声"),
    "running water": ("running water", "water is running", "水声"),
    "footsteps": ("footsteps", "someone is walking", "脚步声"),
    "knocking": ("knocking", "someone is knocking", "敲门声"),
    "applause": ("applause", "people are clapping", "掌声"),
    "clock tick": ("a ticking clock", "a clock is ticking", "时钟声"),
    "typing": ("typing", "someone is typing", "打字声"),
    "bird": ("a bird", "a bird is singing", "鸟叫声"),
    "dog": ("a dog", "a dog is barking", "狗叫声"),
    "piano melody": ("a piano", "a piano is playing", "钢琴声"),
    "chord": ("a chord", "a chord is sounding", "和弦声"),
    "drum beat": ("drums", "drums are beating", "鼓声"),
    "white noise": ("white noise", "there is white noise", "噪声"),
    "silence": ("silence", "there is silence", "安静"),
}
_SPEAKERS_ZH = {"man": "男人", "woman": "女人", "robot": "机器人"}
_LANGUAGES_ZH = {"english": "英语", "mandarin": "中文"}

SCENES_ZH = {
    "street": "街道",
    "kitchen": "厨房",
    "forest": "森林",
    "office": "办公室",
    "station": "车站",
    "concert": "音乐会",
}
EMOTIONS_ZH = {
    "neutral": "平静",
    "happy": "高兴",
    "sad": "难过",
    "angry": "生气",
    "surprised": "惊讶",
}
EVENTS_ZH = {
    BEEP: "滴滴声",
    **{name: zh for name, (_, _, zh) in _WORDING.items()},
    **{
        f"{speaker} speaking {language}": f"{_SPEAKERS_ZH[speaker]}说{_LANGUAGES_ZH[language]}"
        for speaker in _SPEAKERS_ZH
        for language in _LANGUAGES_ZH
    },
}

# Kind of question -> wordings in English and in Mandarin; the last of each is held out.
QUESTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "count": (
        *(("how many beeps are there?", "how many beeps do you hear?", "count the beeps.",
           "how many beeps can you hear?"),),
        *(("有几声滴滴声？", "你听到几声？", "响了几声？", "一共有几声？"),),
    ),
    "speech": (
        ("is someone speaking?", "is anybody speaking?", "do you hear a voice?",
         "do you hear someone speaking?"),
        ("有人在说话吗？", "你听到有人说话吗？", "里面有人说话吗？", "是不是有人在说话？"),
    ),
    "language": (
        ("which language is it?", "what language is spoken?", "which language do you hear?",
         "what language do you hear?"),
        ("这是什么语言？", "说的是什么语言？", "他们说哪种语言？", "你听到的是什么语言？"),
    ),
    "speaker": (
        ("is it a man or a woman?", "who is speaking?", "is the speaker a man or a woman?",
         "is a man or a woman speaking?"),
        ("是男人还是女人？", "谁在说话？", "说话的是男人还是女人？", "是谁在说话？"),
    ),
    "first": (
        ("which sound comes first?", "what is the first sound?", "what do you hear first?",
         "which sound do you hear first?"),
        ("先听到什么声音？", "第一个声音是什么？", "哪个声音在前？", "你先听到什么？"),
    ),
    "last": (
        ("which sound comes last?", "what is the last sound?", "what do you hear last?",
         "which sound do you hear last?"),
        ("最后听到什么声音？", "最后一个声音是什么？", "哪个声音在后？", "你最后听到什么？"),
    ),
    "what": (
        ("what do you hear?", "what is this sound?", "what sound is it?",
         "which sound do you hear?"),
        ("你听到什么？", "这是什么声音？", "是什么声音？", "你听到什么声音？"),
    ),
    "all": (
        ("what do you hear?", "what sounds are there?", "which sounds do you hear?",
         "what sounds do you hear?"),
        ("你听到什么？", "有哪些声音？", "里面有什么声音？", "你听到哪些声音？"),
    ),
    "place": (
        ("where is this?", "what place is this?", "where are we?", "which place is this?"),
        ("这是哪里？", "这是什么地方？", "我们在哪里？", "这里是哪里？"),
    ),
    "feeling": (
        ("how does the speaker feel?", "how does the speaker sound?",
         "what is the feeling of the speaker?", "how is the speaker feeling?"),
        ("说话的人心情怎么样？", "他的心情怎么样？", "说话的人是什么心情？", "这个人心情怎么样？"),
    ),
}  # fmt: skip

_CAPTION_PATTERNS = {
    BEEP: r"beeps?",
    "clock tick": r"ticking",
    "alarm clock": r"alarm clock",
    "phone ring": r"phone",
    "running water": r"water",
    "footsteps": r"footsteps|walking",
    "applause": r"applause|clapping",
    "drum beat": r"drums?",
    "piano melody": r"piano",
    "white noise": r"white noise",
    **{name: name.replace(" speaking", "(?: is)? speaking") for name in SPEECH_CLASSES},
}


def article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def heard(events: Events) -> list[str]:
    """The classes of an item, each once, in the order in which they begin."""
    return list(dict.fromkeys(name for name, _, _ in sorted(events, key=lambda event: event[1])))


def count_beeps(events: Events) -> int:
    return sum(name == BEEP for name, _, _ in events)


def phrase(name: str, events: Events) -> str:
    """The noun phrase of a class: `a dog`, `three beeps`, `a man speaking english`."""
    if name == BEEP:
        count = count_beeps(events)
        return f"{NUMBERS[count]} beep{'s' if count > 1 else ''}"
    return f"a {name}" if name in SPEECH_CLASSES else _WORDING[name][0]


def _sentence(name: str, events: Events) -> str:
    if name == BEEP:
        return phrase(name, events)
    if name in SPEECH_CLASSES:
        return f"a {name.replace(' speaking', ' is speaking')}"
    return _WORDING[name][1]


def _listed(phrases: Sequence[str], comma: str = ", ", last: str = " and ") -> str:
    return last.join(part for part in (comma.join(phrases[:-1]), phrases[-1]) if part)


def _in_class_order(events: Events) -> list[str]:
    return sorted(heard(events), key=EVENT_CLASSES.index)


def caption_of(
    kind: str, events: Events, scene: str | None = None, emotion: str | None = None
) -> str:
    """One sentence with a final stop. Sources that sound together are named in class order."""
    if scene:
        sources = _listed([phrase(name, events) for name in _in_class_order(events)])
        return f"{article(scene)} with {sources}."
    if kind == "sequence":
        return ", then ".join(_sentence(name, events) for name in heard(events)) + "."
    sentence = _listed([_sentence(name, events) for name in _in_class_order(events)])
    mood = f" and sounds {emotion}" if emotion not in (None, "neutral") else ""
    return f"{sentence}{mood}."


def caption_classes(text: str) -> set[str]:
    """The event classes that a caption names, in any wording used here."""
    return {
        name
        for name in EVENT_CLASSES
        if re.search(rf"\b(?:{_CAPTION_PATTERNS.get(name, name)})\b", text.lower())
    }


def _answers(
    kind: str, events: Events, scene: str | None, emotion: str | None
) -> dict[str, tuple[str, str]]:
    """Kind of question -> its answer in English and in Mandarin, without the stop."""
    names, beeps = heard(events), count_beeps(events)
    voices = [name for name in names if name in SPEECH_CLASSES]
    answers = {"speech": ("yes", "有") if voices else ("no", "没有")}
    if len(names) == 1:
        answers["what"] = (phrase(names[0], events), EVENTS_ZH[names[0]])
    else:
        ordered = _in_class_order(events)
        listed = _listed([phrase(name, events) for name in ordered])
        answers["all"] = (listed, _listed([EVENTS_ZH[name] for name in ordered], "、", "和"))
    if beeps:
        answers["count"] = (NUMBERS[beeps], f"{NUMBERS_ZH[beeps]}声")
    if len(voices) == 1:
        speaker, _, language = voices[0].split()
        answers["language"] = (language, _LANGUAGES_ZH[language])
        answers["speaker"] = (article(speaker), _SPEAKERS_ZH[speaker])
    if kind == "sequence":
        answers["first"] = (phrase(names[0], events), EVENTS_ZH[names[0]])
        answers["last"] = (phrase(names[-1], events), EVENTS_ZH[names[-1]])
    if scene:
        answers["place"] = (article(scene), SCENES_ZH[scene])
    if emotion:
        answers["feeling"] = (emotion, EMOTIONS_ZH[emotion])
    return answers


def tasks_of(
    rng: random.Random,
    kind: str,
    events: Events,
    scene: str | None = None,
    emotion: str | None = None,
    held_out: bool = False,
) -> tuple[tuple[str, str, str], ...]:
    """(task, question, answer) of an item; questions once in English and once in Mandarin."""
    tasks = [("caption", "", caption_of(kind, events, scene, emotion))]
    if len(heard(events)) == 1:
        tasks.append(("event", "", events[0][0]))
    if scene:
        tasks.append(("scene", "", scene))
    if emotion:
        tasks.append(("emotion", "", emotion))
    for question, (english, mandarin) in _answers(kind, events, scene, emotion).items():
        answers = (f"{english}.", f"{mandarin}。")
        for wordings, answer in zip(QUESTIONS[question], answers, strict=True):
            wording = wordings[-1] if held_out else rng.choice(wordings[:-1])
            tasks.append(("ask", wording, answer))
    return tuple(tasks)


def mandarin_texts() -> list[str]:
    """Every Mandarin question and word of an answer."""
    words = (EVENTS_ZH, SCENES_ZH, EMOTIONS_ZH, _LANGUAGES_ZH, _SPEAKERS_ZH)
    texts = [word for mapping in words for word in mapping.values()]
    texts += [wording for _, mandarin in QUESTIONS.values() for wording in mandarin]
    return [*texts, *(f"{number}声" for number in NUMBERS_ZH), "有没和、。"]
