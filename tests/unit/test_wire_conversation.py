"""Messages as they travel are read as they were typed and said."""

import base64

import numpy as np
import pytest
from pydantic import TypeAdapter

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.errors import AudioError, InputError, UnknownName
from kimi_demo.messages import AudioPart, SpokenPart, TextPart
from kimi_demo.wire.chat import ChatMessage
from kimi_demo.wire.conversation import instructions_in, messages_of, talk_in

MAX_AUDIO_S = 3.0
SAID = SpokenPart((4, 2), "paris")


def tone(seconds, rate=INPUT_SAMPLE_RATE):
    return Audio((0.5 * np.sin(np.arange(round(seconds * rate)) / 20)).astype(np.float32), rate)


def in_base64(sound):
    return base64.b64encode(sound.wav()).decode()


def heard(data):
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def typed(text):
    return {"type": "text", "text": text}


def user(content):
    return {"role": "user", "content": content}


def find(id_):
    if id_ == "audio_1":
        return SAID
    raise UnknownName("not known any more", code="audio_not_found")


def sent(*messages):
    return TypeAdapter(list[ChatMessage]).validate_python(messages)


def read(*messages):
    return messages_of(talk_in(sent(*messages)), MAX_AUDIO_S, find)


def test_words_and_sounds_keep_their_order():
    sound = tone(0.5)
    (message,) = read(user([heard(in_base64(sound)), typed("what?"), heard(in_base64(tone(1.0)))]))
    assert [type(part) for part in message.parts] == [AudioPart, TextPart, AudioPart]
    first, text, last = message.parts
    assert text == TextPart("what?")
    assert (first.audio.sample_rate, last.audio.duration_s) == (INPUT_SAMPLE_RATE, 1.0)
    np.testing.assert_allclose(first.audio.waveform, sound.waveform, atol=1e-4)


def test_sounds_of_other_rates_are_heard_at_the_models():
    (message,) = read(user([heard(in_base64(tone(0.5, 48_000)))]))
    sound = message.parts[0].audio
    assert sound.sample_rate == INPUT_SAMPLE_RATE
    assert sound.duration_s == pytest.approx(0.5, abs=0.01)


def test_messages_of_one_role_are_joined():
    messages = read(
        user("one"),
        user([typed("two")]),
        {"role": "assistant", "content": "three"},
        {"role": "assistant", "content": [typed("four"), typed("five")]},
        user("six"),
    )
    assert [(m.role, m.parts) for m in messages] == [
        ("user", (TextPart("one"), TextPart("two"))),
        ("assistant", (TextPart("three"), TextPart("four\nfive"))),
        ("user", (TextPart("six"),)),
    ]


def test_an_answer_of_before_is_found_by_its_id():
    messages = read(user("a"), {"role": "assistant", "audio": {"id": "audio_1"}}, user("b"))
    assert messages[1].parts == (SAID,)


def test_an_answer_without_codes_is_remembered_as_words():
    talk = talk_in(sent(user("a"), {"role": "assistant", "audio": {"id": "any"}}, user("b")))
    words = messages_of(talk, MAX_AUDIO_S, lambda _: SpokenPart((), "paris"))
    assert words[1].parts == (TextPart("paris"),)
    elsewhere = SpokenPart((), "paris", "audio_of_another_server")
    assert messages_of(talk, MAX_AUDIO_S, lambda _: elsewhere)[1].parts == (elsewhere,)
    nothing = messages_of(talk, MAX_AUDIO_S, lambda _: SpokenPart((), ""))
    assert [message.role for message in nothing] == ["user", "user"]


def test_an_answer_that_is_not_known_any_more():
    with pytest.raises(UnknownName) as failure:
        read(user("a"), {"role": "assistant", "audio": {"id": "audio_2"}}, user("b"))
    assert (failure.value.param, failure.value.code) == ("messages", "audio_not_found")


def test_system_and_developer_are_set_apart():
    messages = sent(
        {"role": "system", "content": " Be brief. "},
        user("a"),
        {"role": "developer", "content": [typed("Be kind.")]},
        {"role": "system", "content": "  "},
        user("b"),
    )
    assert instructions_in(messages) == "Be brief.\nBe kind."
    assert [message.content for message in talk_in(messages)] == ["a", "b"]
    assert instructions_in(sent(user("a"))) == ""


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "Be brief."}],
        [user("a"), {"role": "assistant", "content": "b"}],
    ],
)
def test_the_last_word_is_the_users(messages):
    with pytest.raises(InputError, match="last message") as failure:
        talk_in(sent(*messages))
    assert failure.value.param == "messages"


@pytest.mark.parametrize(
    "data",
    [
        in_base64(tone(0.5))[:-1],
        "data:audio/wav;base64," + in_base64(tone(0.5)),
        "http://169.254.169.254/latest/meta-data",
        "no base64!",
        "ключ",
    ],
)
def test_what_is_no_base64_is_refused(data):
    with pytest.raises(InputError, match="base64") as failure:
        read(user([heard(data)]))
    assert (failure.value.param, failure.value.code) == ("messages", "invalid_base64")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "read as sound|empty"),
        (base64.b64encode(b"no sound at all" * 50).decode(), "read as sound"),
        (in_base64(Audio(np.zeros(16_000, np.float32), 16_000)), "silent"),
        (in_base64(tone(0.01)), "shorter"),
        (in_base64(tone(3.5)), "at most"),
    ],
)
def test_what_is_no_sound_is_refused(data, reason):
    with pytest.raises(AudioError, match=reason) as failure:
        read(user([heard(data)]))
    assert failure.value.param == "messages"


def test_a_turn_has_room_for_one_request():
    """However many messages and parts it comes in."""
    sound = in_base64(tone(1.6))
    with pytest.raises(AudioError, match="at most"):
        read(user([heard(sound), heard(sound)]))
    with pytest.raises(AudioError, match="at most"):
        read(user([heard(sound)]), user([heard(sound)]))
    answered = {"role": "assistant", "content": "well"}
    assert len(read(user([heard(sound)]), answered, user([heard(sound)]))) == 3


def test_an_empty_answer():
    with pytest.raises(InputError, match="neither content nor audio") as failure:
        read(user("a"), {"role": "assistant"}, user("b"))
    assert failure.value.param == "messages"
    messages = read(user("a"), {"role": "assistant", "content": " "}, user("b"))
    assert [message.role for message in messages] == ["user", "user"]
