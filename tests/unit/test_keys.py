"""Keys have names, are compared whole, and are never told."""

import pytest

from kimi_demo.api.keys import ANYBODY, MAX_KEY_CHARS, NO_KEYS, Keys
from kimi_demo.errors import AccessError, InputError

KEYS = Keys.of("alice=first-secret, bob=second-secret\nthird-secret")


def test_names_and_keys_are_read():
    assert KEYS.by_name == {"alice": "first-secret", "bob": "second-secret", "key3": "third-secret"}


@pytest.mark.parametrize(
    ("key", "name"),
    [("first-secret", "alice"), ("second-secret", "bob"), ("third-secret", "key3")],
)
def test_a_key_tells_its_holder(key, name):
    assert KEYS.name_of(key) == name


@pytest.mark.parametrize(
    "key", [None, "", "first", "first-secre", "first-secret ", "FIRST-SECRET", "x" * 10**6, "é"]
)
def test_any_other_key_is_refused(key):
    with pytest.raises(AccessError, match="API key") as refused:
        KEYS.name_of(key)
    assert "secret" not in str(refused.value)


def test_a_key_that_only_begins_like_a_long_one_is_refused():
    keys = Keys.of("a" * (MAX_KEY_CHARS - 1))
    with pytest.raises(AccessError):
        keys.name_of("a" * 2 * MAX_KEY_CHARS)


def test_without_keys_everybody_may_call():
    assert NO_KEYS.name_of(None) == NO_KEYS.name_of("anything") == ANYBODY
    assert not NO_KEYS
    assert not Keys.of(" , \n")


@pytest.mark.parametrize("text", ["a=short", "a b=long-enough", "a=first-one,a=second-one", "=x"])
def test_unusable_keys_are_refused_without_being_told(text):
    with pytest.raises(InputError) as refused:
        Keys.of(text)
    assert text.partition("=")[2] not in str(refused.value)


def test_the_page_takes_a_name_with_its_own_key_only():
    assert KEYS.admits("alice", "first-secret")
    assert not KEYS.admits("alice", "second-secret")
    assert not KEYS.admits("nobody", "")
    assert not KEYS.admits("nobody", "first-secret")


def test_nothing_prints_a_key():
    assert "secret" not in repr(KEYS) + str(KEYS) + f"{[KEYS]}"
