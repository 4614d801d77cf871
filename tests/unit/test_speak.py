"""Long texts become sentences, and their answers one stream."""

import time

import numpy as np
import pytest

from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.tasks.sentences import (
    CLAUSE_PAUSE_S,
    PARAGRAPH_PAUSE_S,
    SENTENCE_PAUSE_S,
    passages,
)
from kimi_demo.engine.tasks.speak import MAX_READING_CHARS, spoken_words
from kimi_demo.errors import EngineError, InputError
from kimi_demo.events import AudioDelta, Finished, SentenceStarted, Started, TextDelta, collect
from kimi_demo.intents import Speak
from kimi_demo.messages import Sampling
from kimi_demo.tasks import TaskTable

RATE = 24_000
SECOND = np.full(RATE, 0.5, np.float32)


def one_second_each(request):
    """Each sentence lasts a second; its text is "words"."""
    codes = tuple(range(len(request.messages[0].parts[0].text)))[:13]
    reason = "length" if "endless" in request.messages[0].parts[0].text else "stop"
    end = Finished(reason, 10, 1, len(codes), audio_codes=codes)
    return [Started(10), TextDelta("words"), AudioDelta(SECOND, RATE), end]


def engine(script=one_second_each, languages=("en", "zh"), pause_s=0.0, **limits):
    tasks = TaskTable(speech_prompt="", **limits)
    capabilities = Capabilities("m", "", "cpu", 0, RATE, languages, tasks)
    return ScriptedEngine(script, capabilities, pause_s)


def read_aloud(scripted, text, **options):
    return scripted.stream(Speak(text, **options))


def texts(found):
    return [passage.text for passage in found]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("Dr. Smith paid $3.50 at 7:30 p.m. today. Fine!",
         ["Dr. Smith paid $3.50 at 7:30 p.m. today.", "Fine!"]),
        ('He said: "Hello! Who is it?" Then he left.',
         ['He said: "Hello! Who is it?"', "Then he left."]),
        ("你好！今天天气很好，我们去公园吧。他说：“走吧。”",
         ["你好！", "今天天气很好，我们去公园吧。", "他说：“走吧。”"]),
        ("Hello. 你好。再见！ Good bye.", ["Hello.", "你好。", "再见！", "Good bye."]),
        ("a line\nthat goes on", ["a line that goes on"]),
        ("A heading\nIts text", ["A heading", "Its text"]),
        ("... \n🎙️ Yes. ?!", ["🎙️ Yes."]),
        ("", []),
    ],
)  # fmt: skip
def test_texts_become_sentences(text, sentences):
    assert texts(passages(text, "", 600)) == sentences


def test_pauses_follow_the_text():
    found = passages("One, two. Three.\n\nFour five six seven, eight nine.", "en", 22)
    assert [(p.text, p.pause_s) for p in found] == [
        ("One, two.", 0.0),
        ("Three.", SENTENCE_PAUSE_S),
        ("Four five six seven,", PARAGRAPH_PAUSE_S),
        ("eight nine.", CLAUSE_PAUSE_S),
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "text",
    [
        "word " * 200,
        "a" * 500,
        "one, two, three and many more of them, " * 20,
        "今天天气很好，我们一起去公园散步，" * 30,
        "x" * 79 + ", " + "y" * 3 + " " + "z" * 81,
    ],
)
def test_every_piece_fits_and_no_letter_is_lost(text, language):
    pieces = texts(passages(text, language, 80))
    assert max(map(len, pieces)) <= 80
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_text_is_one_stream_with_its_pauses():
    scripted = engine()
    events = list(read_aloud(scripted, "Hello there. 你好。\n\nBye.", seed=7))
    assert [event for event in events if isinstance(event, SentenceStarted)] == [
        SentenceStarted(1, 3, "Hello there."),
        SentenceStarted(2, 3, "你好。"),
        SentenceStarted(3, 3, "Bye."),
    ]
    assert sum(isinstance(event, Finished) for event in events) == 1
    answer = collect(events)
    assert answer.text == "wordswordswords"  # no space where one side is written without
    voiced = answer.waveform.reshape(-1, RATE // 4).any(axis=1)
    assert "".join("#" if v else "." for v in voiced) == "####.####..####"
    assert [request.seed for request in scripted.turns] == [7, 7, 7]
    assert scripted.endings == ["finished"] * 3


def test_the_ending_adds_everything_up():
    finished = collect(read_aloud(engine(), "Hello there. A second one.")).finished
    assert (finished.prompt_tokens, finished.text_tokens) == (20, 2)
    assert finished.audio_tokens == len(finished.audio_codes) == 12 + 13
    assert finished.timings.audio_s == 2.0 + SENTENCE_PAUSE_S
    assert finished.reason == "stop"
    assert collect(read_aloud(engine(), "An endless one. Short.")).finished.reason == "length"


def test_the_first_sound_counts_from_the_start_of_all():
    def mute_first(request):
        if "Mute" in request.messages[0].parts[0].text:
            time.sleep(0.2)
            return [Started(1), Finished("stop", 1, 0, 0)]
        return one_second_each(request)

    timings = collect(read_aloud(engine(mute_first), "Mute. Loud.")).finished.timings
    assert 0.2 <= timings.first_audio_s <= timings.total_s  # a pause is no sound


def test_words_of_two_sentences_do_not_run_together():
    assert collect(read_aloud(engine(), "One. Two.")).text == "words words"


def test_sampling_reaches_every_sentence():
    scripted = engine()
    chosen = Sampling()
    collect(read_aloud(scripted, "One. Two.", sampling=chosen))
    assert all(request.sampling is chosen for request in scripted.turns)


def test_closing_stops_the_engine():
    scripted = engine(pause_s=0.05)
    events = read_aloud(scripted, "One. Two.")
    assert any(isinstance(event, TextDelta) for event in events)
    events.close()
    assert scripted.endings == ["cancelled"]
    assert len(scripted.turns) == 1


def test_an_answer_that_breaks_off_is_an_error():
    with pytest.raises(EngineError, match="broke off"):
        list(read_aloud(engine([Started(1)]), "Hello."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing to say"),
        ("  \n ", "nothing to say"),
        ("...", "can be spoken"),
        ("a" * (MAX_READING_CHARS + 1), "5001 characters and at most 5000"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_spoken(text, message):
    scripted = engine()
    with pytest.raises(InputError, match=message):
        read_aloud(scripted, text)
    assert scripted.turns == []


def test_the_longest_text_is_read():
    scripted = engine()
    collect(read_aloud(scripted, "a" * MAX_READING_CHARS))
    longest = max(len(request.messages[0].parts[0].text) for request in scripted.turns)
    assert longest <= TaskTable().max_text_chars


def test_the_words_that_will_be_said_are_known_before():
    tasks = TaskTable(text_normalizer="spoken")
    assert spoken_words(tasks, "I paid $3. Dr. Hu\n\n付了3元。", "detect") == (
        "I paid three dollars. Doctor Hu付了三元。"
    )
    assert spoken_words(tasks, "... \n", "") == ""
    assert spoken_words(TaskTable(), "20%") == "20%"


def test_a_language_that_the_checkpoint_does_not_speak_is_named():
    with pytest.raises(InputError, match="does not speak Mandarin, it speaks English"):
        read_aloud(engine(languages=("en",)), "Hello. 你好。")
    with pytest.raises(InputError, match="'zh' here: choose one of detect, en"):
        read_aloud(engine(languages=("en",)), "Hello.", language="zh")
    assert collect(read_aloud(engine(), "1984", language="zh")).text == "words"
