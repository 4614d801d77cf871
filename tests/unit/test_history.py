"""Spoken answers by their ids: how long they are kept, for whom, and where."""

import sqlite3
import threading
import time

import pytest

from kimi_demo.api.history import AnswerStore, new_id
from kimi_demo.errors import InputError, UnknownName
from kimi_demo.messages import SpokenPart

PART = SpokenPart((5, 0, 9), "你好 hello", "audio_elsewhere")


class Clock:
    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_what_was_kept_is_found(clock):
    store = AnswerStore(clock=clock, kept_s=60)
    kept = store.keep(PART, "alice")
    assert kept.id.startswith("audio_")
    assert kept.expires_at == 1_000_060 == store.expiry()
    assert store.find(kept.id, "alice") == PART


def test_an_id_can_be_chosen_beforehand():
    store, id_ = AnswerStore(), new_id()
    assert store.keep(PART, "alice", id_).id == id_ != new_id()
    assert store.find(id_, "alice") == PART


def test_an_answer_expires(clock):
    store = AnswerStore(clock=clock, kept_s=60)
    kept = store.keep(PART, "alice")
    clock.now = kept.expires_at - 1
    assert store.find(kept.id, "alice") == PART
    clock.now = kept.expires_at
    with pytest.raises(UnknownName, match=kept.id) as failure:
        store.find(kept.id, "alice")
    assert (failure.value.param, failure.value.code) == ("messages", "audio_not_found")


def test_nobody_finds_the_answers_of_others():
    store = AnswerStore()
    kept = store.keep(PART, "alice")
    with pytest.raises(UnknownName):
        store.find(kept.id, "bob")


def test_beyond_the_limit_the_oldest_are_forgotten():
    store = AnswerStore(max_answers=3)
    kept = [store.keep(SpokenPart((n,), str(n)), "alice") for n in range(5)]
    for forgotten in kept[:2]:
        with pytest.raises(UnknownName):
            store.find(forgotten.id, "alice")
    assert [store.find(k.id, "alice").codes for k in kept[2:]] == [(2,), (3,), (4,)]


def test_what_has_expired_takes_no_place(clock):
    store = AnswerStore(clock=clock, kept_s=60, max_answers=2)
    old = store.keep(PART, "alice")
    clock.now += 61
    store.keep(PART, "alice")
    clock.now -= 61  # it would be found again if it were still there
    with pytest.raises(UnknownName):
        store.find(old.id, "alice")


def test_two_servers_share_a_file(tmp_path):
    path = str(tmp_path / "answers.sqlite")
    one, other = AnswerStore(path), AnswerStore(path)
    kept = one.keep(PART, "alice")
    assert other.find(kept.id, "alice") == PART
    one.close()
    other.close()
    later = AnswerStore(path)
    assert later.find(kept.id, "alice") == PART
    later.close()


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    broken = tmp_path / "notes.txt"
    broken.write_text("no database " * 100)
    for path in (broken, tmp_path / "missing" / "answers.sqlite"):
        with pytest.raises(InputError, match=path.name):
            AnswerStore(str(path))


def test_threads_may_use_it_at_once(tmp_path):
    path = str(tmp_path / "answers.sqlite")
    stores = [AnswerStore(path), AnswerStore(path)]
    failures = []

    def work(number):
        try:
            store = stores[number % 2]
            for turn in range(5):
                part = SpokenPart((number, turn), f"{number} {turn}")
                assert store.find(store.keep(part, str(number)).id, str(number)) == part
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert failures == []


def test_a_strange_id_is_only_unknown():
    store = AnswerStore()
    for strange in ("", "x" * 10_000, "' OR 1=1 --"):
        with pytest.raises(UnknownName) as failure:
            store.find(strange, "alice")
        assert len(str(failure.value)) < 200


def test_a_locked_file_costs_the_id_and_not_the_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("kimi_demo.api.history.BUSY_S", 0.05)
    path = str(tmp_path / "answers")
    store = AnswerStore(path)
    known = store.keep(PART, "alice")
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    kept = store.keep(PART, "alice")
    assert kept.expires_at <= time.time()
    with pytest.raises(UnknownName):
        store.find(known.id, "alice")
    other.rollback()
    assert store.find(known.id, "alice") == PART
