"""Short dialogues of the embedded model: drawn for training, or in wordings kept for evaluation.

A topic's wording in a polite form is a combination; one combination in `HELD_OUT_PERIOD` of each
list is never heard in training, though all its words and whatever fills its slots are. One question
has one answer; that of a follow-up depends on the exchange before it, too.
"""

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from training import dialogue_en, dialogue_zh
from training.dialogue_topics import Branch, Filling, Forms, Talk, Topic

HELD_OUT_PERIOD = 8
TWO_TURNS_SHARE = 0.45
DIFFERENT_DRAWS = 50  # tries to find a dialogue that evaluation does not have yet

_TALKS = {talk.language: talk for talk in (dialogue_en.TALK, dialogue_zh.TALK)}
_FULL_WIDTH = str.maketrans({",": "，", ".": "。", "?": "？", "!": "！"})
_HANZI = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Exchange:
    """One question and its answer, spoken or typed: lower-case words with , . ? or hanzi.

    Mandarin has full-width punctuation. core: the words that a right answer must have, without
    punctuation; see `is_right`.
    """

    question: str
    answer: str
    core: str


@dataclass(frozen=True)
class Dialogue:
    """One or two exchanges; the second may only make sense after the first."""

    language: str
    topic: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True)
class _Asked:
    """What the next turn needs to know of this one."""

    branch: Branch
    filling: Filling
    exchange: Exchange


def _rank(text: str, salt: str = "") -> bytes:
    """An order without a pattern that is the same everywhere."""
    return hashlib.sha1(f"{text}|{salt}".encode(), usedforsecurity=False).digest()


@cache
def _split(wordings: tuple[str, ...], language: str, follows: bool) -> tuple[list[str], list[str]]:
    """(training, held-out) combinations of wordings and polite forms, still with their slots."""
    talk = _TALKS[language]
    forms = talk.follow_forms if follows else talk.forms
    combinations = sorted((c for w in wordings for c in _polite(w, forms)), key=_rank)
    held_out = -(-len(combinations) // HELD_OUT_PERIOD)
    return combinations[held_out:], combinations[:held_out]


def _polite(wording: str, forms: Forms) -> list[str]:
    body = wording.rstrip("?.!")
    mark = wording[len(body) :]
    return [form.replace("{}", body) for form in forms[mark]]


@cache
def _heard(
    wordings: tuple[str, ...], language: str, follows: bool, filling: str, variety: int
) -> list[str]:
    """The combinations in which training asks after one filling."""
    training, _ = _split(wordings, language, follows)
    return sorted(training, key=lambda template: _rank(template, filling))[:variety]


def _written(text: str, language: str) -> str:
    return text.translate(_FULL_WIDTH) if language == "zh" else text


def _exchange(template: str, branch: Branch, filling: Filling, language: str) -> Exchange:
    question, answer, core = (t.format(**filling) for t in (template, branch.answer, branch.core))
    return Exchange(_written(question, language), _written(answer, language), core.replace(",", ""))


def _recall(template: str, asked: _Asked, language: str) -> Exchange:
    """The question is said back in its essential words."""
    answer = asked.branch.recall.format(**asked.filling)
    core = answer.split(",", 1)[-1].strip(" .").replace(",", "")
    return Exchange(_written(template, language), _written(answer, language), core)


def _again(template: str, asked: _Asked, language: str) -> Exchange:
    return Exchange(_written(template, language), asked.exchange.answer, asked.exchange.core)


def _first_turn(rng: random.Random, talk: Talk, topic: Topic, held_out: bool) -> _Asked:
    branch = rng.choice([branch for branch in topic.branches if branch.wordings])
    filling = rng.choice(branch.fillings)
    return _ask(rng, branch.wordings, branch, filling, talk.language, held_out, follows=False)


def _ask(
    rng: random.Random,
    wordings: tuple[str, ...],
    branch: Branch,
    filling: Filling,
    language: str,
    held_out: bool,
    follows: bool = True,
) -> _Asked:
    if held_out:
        templates = _split(wordings, language, follows)[1]
    else:
        templates = _heard(wordings, language, follows, str(filling), branch.variety)
    template = rng.choice(templates)
    return _Asked(branch, filling, _exchange(template, branch, filling, language))


def _second_turn(
    rng: random.Random, talk: Talk, topic: Topic, asked: _Asked, held_out: bool
) -> Exchange:
    """Goes on within the topic, or asks what was said; each kind that is possible equally often."""
    language = talk.language
    going_on = list(_continuations(topic, asked.filling))
    kinds = ["again"] + ["recall"] * bool(asked.branch.recall) + ["go on"] * bool(going_on)
    kind = rng.choice(kinds)
    if kind == "go on":
        wordings, branch, fillings = rng.choice(going_on)
        filling = rng.choice(fillings)
        return _ask(rng, wordings, branch, filling, language, held_out).exchange
    wordings = talk.recall_wordings if kind == "recall" else talk.again_wordings
    template = rng.choice(_split(wordings, language, True)[held_out])
    return (_recall if kind == "recall" else _again)(template, asked, language)


def _continuations(
    topic: Topic, before: Filling
) -> Iterator[tuple[tuple[str, ...], Branch, list[Filling]]]:
    """Wordings that make sense after a filling, and the fillings they may ask after."""
    for branch in topic.branches:
        if branch.and_wordings and before.keys() == branch.fillings[0].keys():
            yield branch.and_wordings, branch, [f for f in branch.fillings if f != before]
        linked = [f for f in branch.fillings if f.get("first", "") == before.get("result")]
        if branch.then_wordings and linked:
            yield branch.then_wordings, branch, linked


def _drawn(rng: random.Random, talk: Talk, topic: Topic, held_out: bool, turns: int) -> Dialogue:
    asked = _first_turn(rng, talk, topic, held_out)
    exchanges = [asked.exchange]
    if turns == 2:
        exchanges.append(_second_turn(rng, talk, topic, asked, held_out))
    return Dialogue(talk.language, topic.name, tuple(exchanges))


def draw(
    rng: random.Random, language: str, held_out: bool = False, turns: int | None = None
) -> Dialogue:
    """A dialogue of 1 or 2 turns (None: either). Every question of it is worded as training is, or,
    if `held_out`, as training never is. The same generator state gives the same dialogue."""
    talk = _TALKS[language]
    topic = rng.choices(talk.topics, weights=[topic.weight for topic in talk.topics])[0]
    turns = turns or 1 + (rng.random() < TWO_TURNS_SHARE)
    return _drawn(rng, talk, topic, held_out, turns)


def held_out_dialogues(
    language: str, count: int = 100, turns: int = 1, seed: int = 11
) -> list[Dialogue]:
    """A fixed set for evaluation: topics in turn, different ones as far as a topic has them."""
    rng, talk, kept = random.Random(seed), _TALKS[language], []
    while len(kept) < count:
        topic = talk.topics[len(kept) % len(talk.topics)]
        for _ in range(DIFFERENT_DRAWS):
            dialogue = _drawn(rng, talk, topic, held_out=True, turns=turns)
            if dialogue not in kept:
                break
        kept.append(dialogue)
    return kept


def _training_exchanges(language: str) -> Iterator[Exchange]:
    talk = _TALKS[language]
    branches = (b for topic in talk.topics for b in topic.branches if not b.is_open)
    for branch in branches:
        lists = (
            (branch.wordings, False),
            (branch.and_wordings, True),
            (branch.then_wordings, True),
        )
        for filling in branch.fillings:
            for wordings, follows in lists:
                for template in _heard(wordings, language, follows, str(filling), branch.variety):
                    yield _exchange(template, branch, filling, language)
            if branch.recall:
                asked = _Asked(branch, filling, Exchange("", "", ""))
                for template in _split(talk.recall_wordings, language, True)[0]:
                    yield _recall(template, asked, language)


@cache
def questions(language: str) -> tuple[str, ...]:
    """Every question of training once, but for those with a phrase to repeat."""
    again = _split(_TALKS[language].again_wordings, language, True)[0]
    asked = (exchange.question for exchange in _training_exchanges(language))
    return tuple(dict.fromkeys([*asked, *(_written(text, language) for text in again)]))


@cache
def answers(language: str) -> tuple[str, ...]:
    """Every answer once, but for repeated phrases."""
    return tuple(dict.fromkeys(exchange.answer for exchange in _training_exchanges(language)))


@cache
def _rival_sets(language: str) -> tuple[frozenset[str], ...]:
    """The words of each topic's cores, where only one of them can be right."""
    return tuple(
        frozenset(w for b in t.branches for f in b.fillings for w in b.core.format(**f).split())
        for t in _TALKS[language].topics
        if t.has_rivals
    )


@cache
def _word_pattern() -> re.Pattern[str]:
    """English words, Mandarin cores as a whole (so that 十五 is no 五), or any one hanzi."""
    cores = sorted(set().union(*_rival_sets("zh")), key=len, reverse=True)
    return re.compile("|".join(("[a-z']+", *cores, _HANZI.pattern)))


def is_right(exchange: Exchange, text: str) -> bool:
    """Whether a reply gives the answer. Case and punctuation do not matter.

    Where answers exclude each other, the last that is said counts ("five minus two is three" is not
    "five"), and a series must be complete; otherwise the core's words stand side by side.
    """
    said, core = (_word_pattern().findall(t.lower()) for t in (text, exchange.core))
    language = "zh" if _HANZI.search(exchange.core) else "en"
    for rivals in _rival_sets(language):
        if rivals.issuperset(core):
            named = [word for word in said if word in rivals]
            return named == core if len(core) > 1 else named[-1:] == core
    return any(said[n : n + len(core)] == core for n in range(len(said) - len(core) + 1))
