"""The dialogues the embedded model learns: right, repeatable, and held-out wordings kept apart."""

import random
import re
from functools import cache

import pytest

from training import dialogue_en, dialogue_zh
from training.dialogue import (
    Dialogue,
    Exchange,
    answers,
    draw,
    held_out_dialogues,
    is_right,
    questions,
)
from training.numerals import in_words
from training.numerals_zh import in_hanzi

DRAWS = 3000
LANGUAGES = ("en", "zh")
_WORD = re.compile(r"[a-z']+|[\u4e00-\u9fff]")
_NOTATION = {"en": re.compile(r"[a-z', ]+[.?]"), "zh": re.compile(r"[\u4e00-\u9fff，]+[。？]")}


@cache
def drawn(language: str, held_out: bool = False, seed: int = 5) -> list[Dialogue]:
    rng = random.Random(seed)
    return [draw(rng, language, held_out) for _ in range(DRAWS)]


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_same_seed_gives_the_same_dialogues(language: str):
    assert drawn(language) == drawn.__wrapped__(language)
    assert drawn(language) != drawn(language, seed=6)
    assert held_out_dialogues(language, 24) == held_out_dialogues(language, 24)


def test_training_never_hears_a_held_out_question(language: str):
    evaluated = [*held_out_dialogues(language, 300), *held_out_dialogues(language, 300, turns=2)]
    held_out = {e.question for d in (*drawn(language, True), *evaluated) for e in d.exchanges}
    trained = {e.question for d in drawn(language) for e in d.exchanges} | {*questions(language)}
    assert len(held_out) > 500
    assert not held_out & trained


def test_held_out_questions_use_words_that_training_knows(language: str):
    held_out = {w for d in drawn(language, True) for e in d.exchanges for w in _words(e.question)}
    trained = {w for d in drawn(language) for e in d.exchanges for w in _words(e.question)}
    assert held_out <= trained | {w for question in questions(language) for w in _words(question)}


def test_every_wording_is_heard_in_training_in_some_form(language: str):
    """Only combinations are held out: no list loses a wording."""
    talk = {"en": dialogue_en, "zh": dialogue_zh}[language].TALK
    heard = {*questions(language)}
    for branch in (b for t in talk.topics for b in t.branches if not b.is_open):
        for wording in branch.wordings:
            if wording.endswith("!") and not wording.endswith("?!"):
                continue  # has but one form, which may be the held-out one
            bodies = {wording.rstrip("?.!").format(**filling) for filling in branch.fillings}
            bodies = {b.replace(",", "，") for b in bodies} if language == "zh" else bodies
            assert any(body in question for body in bodies for question in heard), wording


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def test_every_answer_is_right_and_in_the_notation(language: str):
    for dialogue in (*drawn(language), *drawn(language, True)):
        for exchange in dialogue.exchanges:
            assert is_right(exchange, exchange.answer), exchange
            assert is_right(exchange, exchange.answer.upper().rstrip(".。"))
            assert _NOTATION[language].fullmatch(exchange.question), exchange
            assert _NOTATION[language].fullmatch(exchange.answer), exchange


def test_one_question_has_one_answer(language: str):
    told: dict[tuple[str, str], str] = {}
    for dialogue in drawn(language):
        first, *rest = dialogue.exchanges
        contexts = [("", first), *((first.question, exchange) for exchange in rest)]
        for context, exchange in contexts:
            answer = told.setdefault((context, exchange.question), exchange.answer)
            assert answer == exchange.answer


def test_sums_are_right():
    number = {in_words(n): n for n in range(21)} | {in_hanzi(n): n for n in range(21)}
    pattern = re.compile(r"(.+?) ?(plus|minus|加|减) ?(.+?) ?(?:is|等于) ?(.+?)[.。]")
    for language in LANGUAGES:
        sums = [m for answer in answers(language) if (m := pattern.fullmatch(answer))]
        assert len(sums) == 2 * 231
        for a, sign, b, result in (m.groups() for m in sums):
            change = number[b] if sign in ("plus", "加") else -number[b]
            assert number[a] + change == number[result]


@pytest.mark.parametrize(
    ("core", "wrong", "right"),
    [
        ("five", "two plus five is fifteen.", "two plus three is five."),
        ("five", "two plus five is six.", "Five"),
        ("tuesday", "after tuesday comes wednesday.", "it is tuesday."),
        ("one two three", "one, two, three, four.", "one, two, three."),
        ("paris", "the capital of france is rome.", "paris is the capital of france."),
        ("cold", "the opposite of cold is hot.", "the opposite of hot is cold."),
        ("五", "十加五等于十五。", "二加三等于五"),
        ("五", "五加一等于六。", "五"),
        ("星期一", "星期一之后是星期二。", "星期天之后是星期一。"),
        ("good morning", "good evening.", "Good morning!"),
        ("早上好", "晚上好。", "早上好。"),
    ],
)
def test_wrong_answers_are_rejected(core: str, wrong: str, right: str):
    exchange = Exchange("", "", core)
    assert not is_right(exchange, wrong)
    assert not is_right(exchange, "")
    assert is_right(exchange, right)


def test_sizes(language: str):
    assert 2000 <= len(questions(language)) <= 6000
    assert 500 <= len(answers(language)) <= 1200
    assert len({*questions(language)}) == len(questions(language))
    phrases = {"en": dialogue_en, "zh": dialogue_zh}[language].phrases()
    assert len({*phrases}) == len(phrases) >= 200
    lengths = [len(_words(answer)) for answer in answers(language)]
    assert max(lengths) <= (10 if language == "en" else 14)


def test_evaluation_takes_the_topics_in_turn(language: str):
    dialogues = held_out_dialogues(language, 96, turns=2)
    counts = {d.topic: sum(o.topic == d.topic for o in dialogues) for d in dialogues}
    assert set(counts.values()) == {8}
    assert all(len(d.exchanges) == 2 for d in dialogues)
    assert all(len(d.exchanges) == 1 for d in held_out_dialogues(language, 24))


def test_follow_ups_go_on_from_the_answer():
    for dialogue in drawn("en"):
        if dialogue.topic == "sums" and len(dialogue.exchanges) == 2:
            first, second = dialogue.exchanges
            if " is " in second.answer and "that plus" in second.question:
                assert second.answer.startswith(f"{first.core} plus ")
                break
    else:
        pytest.fail("no sum was gone on from")
