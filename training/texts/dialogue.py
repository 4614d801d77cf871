"""Dialogues of one to four turns, drawn from the data beside this file.

A question is a wording of its branch in a polite form, with one filling of its slots. Wordings
listed as `unseen`, and one combination of a wording and a filling in ten, never occur in training;
`draw(..., held_out=True)` takes nothing but these. Numbers are words until a text is finished.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from kimi_demo.errors import InputError
from training.texts import fillings
from training.texts.fillings import Filling
from training.texts.sentences import english_sentences, is_held_out, mandarin_sentences
from training.texts.spoken import spoken_words
from training.texts.written import as_written, inside, with_digits

WITHHELD_PERIOD = 10  # one combination of wording and filling in so many is for evaluation
UNSEEN_SHARE = 0.75  # of evaluation's questions in other wordings; the rest are other combinations
FOLLOW_SHARE = 0.75  # of later turns that refer to the turn before
GOING_ON_SHARE = 0.55  # of these, where the topic can go on; the others ask about the dialogue
OPEN_PHRASES = 4000  # sentences of the open vocabulary that are repeated after the user
ANY = "…"  # in an accepted answer: any words, or none

_DATA = Path(__file__).parent / "dialogues"
_MARKS = "?.!？。！"
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Exchange:
    """One question and its answer as people write them.

    topic: the branch's, or "again", "louder", "recall", "why", "thanks", "sure", "name"; "unknown"
    where the honest answer is that it does not know. accepted: what else is right, see `is_right`.
    """

    question: str
    answer: str
    topic: str
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialogue:
    """One to four exchanges; a later one may only make sense after those before."""

    language: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True)
class Branch:
    """Questions with one answer template. The head of dialogues/en.yaml explains the fields."""

    topic: str
    answer: str
    family: str
    wordings: tuple[str, ...]
    unseen: tuple[str, ...]
    follow: tuple[str, ...]
    follow_unseen: tuple[str, ...]
    accepted: tuple[str, ...]
    fillings: tuple[Filling, ...]
    recall: str = ""
    weight: float = 1.0
    link: Sequence[str] = ()
    any: bool = False
    open: bool = False


@dataclass(frozen=True)
class Talk:
    """All that one language talks about. memory: questions about the dialogue itself."""

    language: str
    branches: tuple[Branch, ...]
    memory: Mapping[str, Branch]
    forms: Mapping[str, tuple[str, ...]]  # mark of a wording to polite forms
    follow_forms: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Asked:
    """What the next turn needs to know of this one."""

    branch: Branch
    filling: Filling
    exchange: Exchange


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.splitlines())


@cache
def talk_of(language: str) -> Talk:
    """The data of "en" or "zh". Raises: FileNotFoundError for another language."""
    data = yaml.safe_load((_DATA / f"{language}.yaml").read_text(encoding="utf-8"))
    data["tables"] = {k: fillings.table(_lines(rows)) for k, rows in data["tables"].items()}
    forms, follow_forms = (
        {mark: _lines(rows) for mark, rows in data[k].items()} for k in ("forms", "follow_forms")
    )
    branches = tuple(_branch(row, row["topic"], data, language) for row in data["branches"])
    memory = {kind: _branch(row, kind, data, language) for kind, row in data["memory"].items()}
    return Talk(language, branches, memory, forms, follow_forms)


def _branch(row: dict[str, Any], topic: str, data: dict[str, Any], language: str) -> Branch:
    listed = ("wordings", "unseen", "follow", "follow_unseen", "accepted")
    texts = {name: _lines(row.get(name, "")) for name in listed}
    filled = tuple(_fillings(row["fillings"], data, language)) if "fillings" in row else ({},)
    rest = {"topic": topic, "family": topic, **row}
    return Branch(**{**rest, **texts, "fillings": filled})


def _fillings(name: str, data: dict[str, Any], language: str) -> Sequence[Filling]:
    """Of a table, its pairs ("pairs opposites"), a circle ("after days"), numbers or open words."""
    kind, _, of = name.partition(" ")
    tables: dict[str, list[Filling]] = data["tables"]
    if kind in ("after", "before"):
        return fillings.neighbours(data["circles"][of], 1 if kind == "after" else -1)
    if kind == "pairs":
        return fillings.both_ways(tables[of])
    if kind == "phrases":
        return [{"phrase": text} for text in _phrases(data["phrases"], language)]
    if kind == "statements":
        return [{"statement": text} for text in _open_sentences(language, data["subjects"])]
    if kind == "nouns":
        known = {word for rows in tables.values() for row in rows for word in row.values()}
        tongues = [row["language"] for row in tables["languages"]]
        return fillings.nouns(language, tongues, known)
    return tables.get(name) or fillings.COMPUTED[name](language)


def _phrases(rows: Sequence[Sequence[str]], language: str) -> list[str]:
    """What is repeated: rows of parts multiplied out, five times, and open sentences."""
    gap = "" if language == "zh" else " "
    parts = ([re.split(r"\s*\|\s*", part) for part in row] for row in rows)
    listed = [gap.join(texts) for choices in parts for texts in product(*choices)]
    return listed * 5 + _open_sentences(language)


def _open_sentences(language: str, starts: str = "") -> list[str]:
    """Short sentences of open words without a final mark or digits, that begin with a pattern."""
    if language == "zh":
        sentences = mandarin_sentences(random.Random(1), 3 * OPEN_PHRASES)
    else:
        sentences = [inside(text) for text in english_sentences() if len(text.split()) < 7]
    fitting = re.compile(starts + r"(?!.*[A-Z]{2})[^\d?？!！.]+[.。]")
    kept = (t[:-1] for t in sentences if fitting.fullmatch(t) and not is_held_out(t))
    return list(kept)[:OPEN_PHRASES]


def _polite(wording: str, forms: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A wording in all polite forms that its last mark allows."""
    bare = wording.rstrip(_MARKS)
    return [form.replace("{}", bare) for form in forms[wording[len(bare) :]]]


def _finished(template: str, filling: Filling, language: str) -> str:
    """Slots filled, numbers as digits, capitals at the start of sentences."""
    text = with_digits(template.format(**filling), language)
    return re.sub(r"(?:^|(?<=[.?!] ))[a-z]", lambda match: match[0].upper(), text)


def _withheld(wording: str, filling: Filling) -> bool:
    """Whether a combination of a wording with slots and a filling is kept for evaluation."""
    text = wording.format(**filling)
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return text != wording and int(digest, 16) % WITHHELD_PERIOD == 0


def _exchange(question: str, branch: Branch, filling: Filling, language: str) -> Exchange:
    """`question` is a wording in a polite form, still with its slots."""
    fitting = (branch.answer,) if branch.any else ()
    accepted = [_finished(text, row, language) for text in fitting for row in branch.fillings]
    accepted += [_finished(text, filling, language) for text in branch.accepted]
    question, answer = (_finished(text, filling, language) for text in (question, branch.answer))
    return Exchange(question, answer, branch.topic, tuple(accepted))


def _ask(
    rng: random.Random, talk: Talk, branch: Branch, held_out: bool, linked: Sequence[Filling] = ()
) -> _Asked | None:
    """A question of a branch, or, with the fillings that it may ask after, a follow-up. None if
    none was found."""
    known, unseen = branch.wordings, branch.unseen
    if linked:
        known, unseen = branch.follow, branch.follow_unseen
    is_unseen = held_out and rng.random() < UNSEEN_SHARE
    for _ in range(40):
        filling = rng.choice(linked or branch.fillings)
        wording = rng.choice(unseen if is_unseen else known)
        if is_unseen or _withheld(wording, filling) == held_out:
            form = rng.choice(_polite(wording, talk.follow_forms if linked else talk.forms))
            return _Asked(branch, filling, _exchange(form, branch, filling, talk.language))
    return None


def _first(rng: random.Random, talk: Talk, held_out: bool) -> _Asked:
    weights = [branch.weight for branch in talk.branches]
    asked = None
    while asked is None:
        asked = _ask(rng, talk, rng.choices(talk.branches, weights)[0], held_out)
    return asked


def _continuations(talk: Talk, asked: _Asked) -> Iterator[tuple[Branch, list[Filling]]]:
    """Branches of the same family that may go on, with the fillings they may ask after."""
    before = asked.filling
    for branch in talk.branches:
        if branch.family != asked.branch.family or not branch.follow:
            continue
        if branch.link:
            given, taken = branch.link
            linked = [row for row in branch.fillings if row[taken] == before.get(given)]
        else:
            shares = before.keys() & branch.fillings[0].keys()
            linked = [row for row in branch.fillings if shares and row != before]
        if linked:
            yield branch, linked


def _follow(
    rng: random.Random, talk: Talk, turns: Sequence[_Asked], held_out: bool
) -> _Asked | None:
    """Goes on within the topic, or asks about the dialogue."""
    going_on = list(_continuations(talk, turns[-1]))
    if going_on and rng.random() < GOING_ON_SHARE:
        branch, linked = rng.choice(going_on)
        return _ask(rng, talk, branch, held_out, linked)
    has_name = any("name" in turn.filling for turn in turns)
    weights = {kind: 1.0 for kind, branch in talk.memory.items() if branch.wordings}
    weights["name"] = 3.0 if has_name else 0.3
    weights["recall"] *= bool(turns[-1].branch.recall)
    (kind,) = rng.choices(list(weights), list(weights.values()))
    return _remember(rng, talk, kind, turns, held_out)


def _remember(
    rng: random.Random, talk: Talk, kind: str, turns: Sequence[_Asked], held_out: bool
) -> _Asked:
    """Says the answer again, tells what was asked or the user's name, or answers as written."""
    last, branch, filling = turns[-1], talk.memory[kind], {}
    wording = rng.choice(branch.unseen if held_out else branch.wordings)
    question = _finished(rng.choice(_polite(wording, talk.follow_forms)), {}, talk.language)
    if kind in ("again", "louder"):
        exchange = Exchange(question, last.exchange.answer, kind, last.exchange.accepted)
        return _Asked(last.branch, last.filling, exchange)
    if kind == "recall":
        answer = _finished(last.branch.recall, last.filling, talk.language)
        return _Asked(last.branch, last.filling, Exchange(question, answer, kind))
    if kind == "name":
        named = [turn.filling for turn in turns if "name" in turn.filling]
        branch, filling = (branch, named[-1]) if named else (talk.memory["nameless"], {})
    return _Asked(branch, filling, _exchange(question, branch, filling, talk.language))


def draw(rng: random.Random, language: str, turns: int = 1, held_out: bool = False) -> Dialogue:
    """A dialogue of `turns` exchanges, 1 to 4. Its questions are worded as training's are, or, if
    `held_out`, as training's never are. The same state of `rng` gives the same dialogue."""
    talk = talk_of(language)
    asked = [_first(rng, talk, held_out)]
    while len(asked) < turns:
        if rng.random() < FOLLOW_SHARE:
            turn = _follow(rng, talk, asked, held_out)
        else:
            turn = _first(rng, talk, held_out)
        asked += [turn] if turn else []
    return Dialogue(language, tuple(turn.exchange for turn in asked))


def _pattern(accepted: str, language: str) -> re.Pattern[str]:
    """Of an answer's words, each followed by a space."""
    parts = (spoken_words(part, language) for part in accepted.split(ANY))
    return re.compile("(?:[^ ]+ )*".join("".join(f"{word} " for word in part) for part in parts))


def is_right(exchange: Exchange, answer: str) -> bool:
    """Whether an answer has the words of the exchange's, or of one that it accepts, where "…"
    stands for any words. Case, marks, and digits or number words make no difference."""
    language = "zh" if re.search("[\u4e00-\u9fff]", exchange.answer + exchange.question) else "en"
    try:
        said = "".join(f"{word} " for word in spoken_words(answer, language))
    except InputError:  # of a script that neither language has
        return False
    texts = (exchange.answer, *exchange.accepted)
    return any(_pattern(text, language).fullmatch(said) for text in texts)


@cache
def answers(language: str) -> list[str]:
    """All closed answers once: not those that repeat what is open."""
    talk = talk_of(language)
    templates = [
        (template, branch)
        for branch in (*talk.branches, *talk.memory.values())
        for template in (branch.answer, branch.recall)
        if template and not (branch.open and _SLOT.search(template))
    ]
    texts = (
        _finished(template, filling, language)
        for template, branch in templates
        for filling in (branch.fillings if _SLOT.search(template) else ({},))
    )
    return list(dict.fromkeys(texts))


def _key(text: str, language: str) -> str:
    return " ".join(spoken_words(text, language))


@cache
def _plain_questions(language: str) -> dict[str, tuple[str, Branch, Filling]]:
    """What training asks first, by its words without a polite form."""
    found: dict[str, tuple[str, Branch, Filling]] = {}
    for branch in talk_of(language).branches:
        for wording, filling in product(branch.wordings, () if branch.open else branch.fillings):
            if branch.topic != "unknown" and not _withheld(wording, filling):
                words = re.findall(r"[a-z']+|[\u4e00-\u9fff]", wording.format(**filling).lower())
                found.setdefault(" ".join(words), (wording, branch, filling))
    return found


def recorded_questions(language: str, texts: Sequence[str]) -> list[Exchange]:
    """The first questions among recorded `texts` (of number words) that training may ask,
    each with its answer; follow-ups and combinations kept for evaluation are left out."""
    exchanges = (_recognised(text, language) for text in texts)
    return [exchange for exchange in exchanges if exchange]


def _recognised(text: str, language: str) -> Exchange | None:
    text = text.lower()
    for form, body in _bodies(text, language):
        if body in _plain_questions(language):
            wording, branch, filling = _plain_questions(language)[body]
            return _exchange(form.replace("{}", wording.rstrip(_MARKS)), branch, filling, language)
    return _repeated(text, language)


def _bodies(text: str, language: str) -> Iterator[tuple[str, str]]:
    """(polite form, words of the rest) for each form that a text may have."""
    for form in dict.fromkeys(f for forms in talk_of(language).forms.values() for f in forms):
        pattern = re.escape(form.lower()).replace(r"\{\}", "(.+)")
        match = re.fullmatch(pattern, text)
        if match:
            yield form, _key(match[1], language)


def _repeated(text: str, language: str) -> Exchange | None:
    """A request to repeat any phrase, if not in a wording kept for evaluation."""
    talk = talk_of(language)
    branch = next(b for b in talk.branches if b.topic == "repeating")
    wordings = sorted((*branch.wordings, *branch.unseen), key=len, reverse=True)
    for wording in wordings:  # the longest first: "say after me, ...", not "say ..."
        for form in _polite(wording, talk.forms):
            match = re.fullmatch(re.escape(form.lower()).replace(r"\{phrase\}", "(.+)"), text)
            if match and wording in branch.unseen:
                return None
            if match:
                phrase = as_written(match[1], language)
                phrase = phrase if language == "zh" else inside(phrase)
                return _exchange(form, branch, {"phrase": phrase}, language)
    return None
