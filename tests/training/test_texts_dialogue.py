import random
import re

import pytest

from training.texts.dialogue import (
    Exchange,
    answers,
    draw,
    is_right,
    recorded_questions,
    talk_of,
)
from training.texts.sentences import HANZI
from training.texts.spoken import as_spoken, spoken_words
from training.texts.written import as_written

LANGUAGES = ("en", "zh")
TOPICS = {
    *("greeting", "introduction", "wellbeing", "farewell", "thanks", "identity", "maker"),
    *("abilities", "sums", "days", "months", "capitals", "continents", "colours", "sounds"),
    *("opposites", "definitions", "counting", "larger", "smaller", "repeating", "joke"),
    *("twister", "story", "unknown"),
}


def exchanges(language: str, count: int, held_out: bool = False, seed: int = 3) -> list[Exchange]:
    rng = random.Random(seed)
    dialogues = (draw(rng, language, rng.randint(1, 4), held_out) for _ in range(count))
    return [exchange for dialogue in dialogues for exchange in dialogue.exchanges]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_branch_has_wordings_enough_and_others_for_evaluation(language: str) -> None:
    talk = talk_of(language)
    assert {branch.topic for branch in talk.branches} == TOPICS
    for branch in talk.branches:
        assert not set(branch.wordings) & set(branch.unseen)
        assert not set(branch.follow) & set(branch.follow_unseen)
        if not branch.link or branch.unseen:
            assert len(set(branch.wordings)) >= 11, branch.wordings
            assert len(branch.unseen) >= 2, branch.wordings
    for branch in talk.memory.values():
        assert not set(branch.wordings) & set(branch.unseen)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_seed_draws_the_same_dialogue(language: str) -> None:
    first, second = (draw(random.Random(8), language, turns=4) for _ in range(2))
    assert first == second
    assert len(first.exchanges) == 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_first_questions_of_evaluation_never_occur_in_training(language: str) -> None:
    rng = random.Random(1)
    trained = {draw(rng, language).exchanges[0].question for _ in range(10_000)}
    asked = {draw(rng, language, held_out=True).exchanges[0].question for _ in range(1_000)}
    assert len(asked) > 500
    assert not trained & asked


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_exchange_takes_its_own_answer(language: str) -> None:
    for exchange in exchanges(language, 200):
        assert is_right(exchange, exchange.answer), exchange
        assert is_right(exchange, as_spoken(exchange.answer, language).upper()), exchange


@pytest.mark.parametrize("language", LANGUAGES)
def test_questions_are_written_as_a_transcript_is(language: str) -> None:
    texts = [e.question for e in exchanges(language, 400)]
    wrong = [t for t in texts if as_written(as_spoken(t, language).lower(), language) != t]
    assert len(wrong) < 0.005 * len(texts), wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_unknown_questions_are_a_sixth_and_no_topic_starves(language: str) -> None:
    rng = random.Random(2)
    topics = [draw(rng, language).exchanges[0].topic for _ in range(3_000)]
    assert 0.13 < topics.count("unknown") / len(topics) < 0.21
    assert min(topics.count(topic) for topic in TOPICS) > 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_closed_answers_can_be_spoken(language: str) -> None:
    found = answers(language)
    assert 1_500 < len(found) < 5_000
    assert not [text for text in found if re.search(r"\d", as_spoken(text, language))]
    assert all(text[-1] in ".?!。？！" for text in found)
    hanzi = set("".join(found)) & {chr(code) for code in range(0x4E00, 0xA000)}
    assert hanzi <= set(HANZI)


def test_another_answer_is_wrong() -> None:
    capital = Exchange("", "The capital of France is Paris.", "capitals", ("Paris", "…Paris"))
    assert is_right(capital, "the capital of france is paris")
    assert is_right(capital, "It is Paris!")
    assert not is_right(capital, "The capital of Paris is France.")
    total = Exchange("", "6 plus 2 is 8.", "sums", ("8", "…is 8"))
    assert is_right(total, "six plus two is eight")
    assert not is_right(total, "8 plus 2 is 10.")
    assert not is_right(total, "Это восемь.")
    mandarin = Exchange("", "6加2等于8。", "sums", ("8",))
    assert is_right(mandarin, "六加二等於八")
    assert not is_right(mandarin, "八加二等于十")


def test_a_counted_series_must_be_complete() -> None:
    counted = next(e for e in exchanges("en", 800) if e.topic == "counting")
    assert not is_right(counted, counted.answer.split(", ", 1)[1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_is_remembered(language: str) -> None:
    rng = random.Random(5)
    dialogues = [draw(rng, language, turns=4).exchanges for _ in range(2_000)]
    named = [d for d in dialogues if d[0].topic == "introduction" and d[-1].topic == "name"]
    assert named
    for first, *_, last in named:
        assert set(spoken_words(last.answer, language)) & set(spoken_words(first.answer, language))


@pytest.mark.parametrize(
    ("language", "text", "question", "answer"),
    [
        ("en", "kimi, how much is six plus two?", "Kimi, how much is 6 plus 2?", "6 plus 2 is 8."),
        ("en", "please say i like bread.", "Please say I like bread.", "I like bread."),
        ("en", "can you say after me, goodbye, john?", "", "Goodbye, John."),
        ("zh", "请问，法国的首都是哪里？", "请问，法国的首都是哪里？", "法国的首都是巴黎。"),
        ("zh", "奇米，十二加五等于几？", "奇米，12加5等于几？", "12加5等于17。"),
    ],
)
def test_recorded_questions_get_their_answers(
    language: str, text: str, question: str, answer: str
) -> None:
    (exchange,) = recorded_questions(
        language, [text, "no such question at all.", "say it like me, go home."]
    )
    assert exchange.answer == answer
    assert exchange.question == (question or as_written(text, language))
