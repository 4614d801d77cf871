"""Conversations as values: history, what is remembered of it, replies in work, and the export."""

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import soundfile

from kimi_demo.audio import Audio
from kimi_demo.conversation import KEPT_TURNS, ChatTurn, Conversation, export
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import AudioError, InputError
from kimi_demo.events import AudioDelta, Finished, HeardDelta, Started, Stepped, TextDelta
from kimi_demo.messages import AudioPart, SpokenPart, TextPart
from kimi_demo.tasks import Memory, TaskTable
from kimi_demo.ui.reply import Reply
from tests.turns import turn_of

RATE = 24_000
TASKS = TaskTable()
CODES = (5, 0, 9)
DONE = Finished("stop", 9, 1, 3, audio_codes=CODES)


def tone(seconds, rate=RATE):
    return (0.5 * np.sin(np.arange(int(seconds * rate)) / 20)).astype(np.float32)


def heard(seconds):
    return Audio(tone(seconds, 16_000), 16_000)


def spoken(asked, text="yes", seconds=0.24):
    return ChatTurn(asked, text, (1,) * round(seconds * 12.5), tone(seconds))


def talked(*turns):
    conversation = Conversation()
    for turn in turns:
        conversation = conversation.with_turn(turn)
    return conversation


def test_a_turn_is_the_fold_of_its_events():
    pieces = tone(0.5), tone(0.25)
    sounds = [AudioDelta(piece, RATE) for piece in pieces]
    events = [Started(9), TextDelta("he"), sounds[0], TextDelta("llo"), sounds[1], DONE]
    turn = ChatTurn.of("hi", 3, events)
    assert (turn.answer_text, turn.answer_codes, turn.seed) == ("hello", CODES, 3)
    np.testing.assert_array_equal(turn.waveform, np.concatenate(pieces))
    assert turn.spoken.sample_rate == RATE
    broken_off = ChatTurn.of("hi", 3, events[:3])
    assert (broken_off.answer_text, broken_off.answer_codes) == ("he", ())
    assert broken_off.finished is None
    np.testing.assert_array_equal(broken_off.waveform, pieces[0])


def test_what_the_model_heard_is_kept_beside_the_answer_and_not_told_again():
    sound = heard(1.0)
    events = [HeardDelta(" what time "), HeardDelta("is it?"), TextDelta("five."), DONE]
    turn = ChatTurn.of(sound, 0, events)
    assert (turn.heard_text, turn.answer_text) == ("what time is it?", "five.")
    asked, answered = turn.messages()
    assert (asked.parts, answered.parts) == ((AudioPart(sound),), (SpokenPart(CODES, "five."),))
    archive = zipfile.ZipFile(io.BytesIO(export(talked(turn), "n", "")))
    question, _ = json.loads(archive.read("conversation.json"))["messages"]
    assert question == {
        "role": "user",
        "text": None,
        "heard": "what time is it?",
        "wav": "01-user.wav",
    }
    assert ChatTurn.of(sound, 0, events[:2]).is_unanswered


def test_history_keeps_the_tokens_of_what_was_spoken():
    sound = heard(1.0)
    conversation = talked(
        ChatTurn("hello", "hi there", CODES, tone(0.5)),
        ChatTurn(sound, "in writing"),
        ChatTurn("go on", "broken of", (), tone(0.5)),
    )
    messages = conversation.messages()
    assert [m.role for m in messages] == ["user", "assistant"] * 3
    assert [part for m in messages for part in m.parts] == [
        TextPart("hello"),
        SpokenPart(CODES, "hi there"),
        AudioPart(sound),
        TextPart("in writing"),
        TextPart("go on"),
        TextPart("broken of"),
    ]


def test_old_questions_are_read_like_new_ones():
    tasks = TaskTable(text_normalizer="spoken")
    request = turn_of(talked(ChatTurn("2 + 3?", "five")).intent("7:30"), tasks)
    assert request.messages[0].parts == (TextPart("Two plus three?"),)
    assert request.messages[2].parts == (TextPart("Seven thirty"),)


def test_changes_make_new_values():
    one = talked(ChatTurn("a", "b"))
    two = one.with_turn(ChatTurn("c", "d"))
    assert [turn.asked for turn in two.turns] == ["a", "c"]
    assert len(one.turns) == 1
    assert two.without_last().turns == one.turns
    assert Conversation().without_last().turns == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.turns = ()


def test_a_turn_without_an_answer_is_not_kept():
    assert talked(ChatTurn("anyone there?")).turns == ()


def test_a_visitors_memory_has_an_end():
    conversation = talked(*(ChatTurn(f"question {n}", "answer") for n in range(KEPT_TURNS + 5)))
    assert len(conversation.turns) == KEPT_TURNS
    assert conversation.turns[0].asked == "question 5"


@pytest.mark.parametrize(
    ("memory", "asked", "remembered"),
    [
        (Memory(turns=8, seconds=100), "so?", 3),
        (Memory(turns=2, seconds=100), "so?", 2),
        (Memory(turns=0, seconds=100), "so?", 0),
        (Memory(turns=8, seconds=25), "so?", 2),  # 10 s of question and 2 s of answer each
        (Memory(turns=8, seconds=23.9), "so?", 1),
        (Memory(turns=8, seconds=25), heard(2.0), 1),  # a long question leaves less room
        (Memory(turns=8, seconds=1), "so?", 0),
    ],
)
def test_old_turns_fall_out_of_the_front(memory, asked, remembered):
    conversation = talked(*(spoken(heard(10.0), str(n), 2.0) for n in range(3)))
    tasks = dataclasses.replace(TASKS, memory=memory)
    request = turn_of(conversation.intent(asked, 7, "both"), tasks)
    answers = [m.parts[0].text for m in request.messages if m.role == "assistant"]
    assert answers == ["0", "1", "2"][3 - remembered :]
    assert len(request.messages) == 2 * remembered + 1
    assert (request.seed, request.output) == (7, "both")


def test_a_question_of_before_that_cannot_be_read_is_forgotten_with_all_before_it():
    talk = talked(ChatTurn("one", "1"), ChatTurn("Привет", "2"), ChatTurn("three", "3"))
    told = turn_of(talk.intent("four"), TaskTable(text_normalizer="spoken")).messages
    assert [part.text for m in told for part in m.parts] == ["three", "3", "four"]


def test_what_cannot_be_answered_is_refused():
    with pytest.raises(InputError, match="nothing"):
        turn_of(Conversation().intent("  "))
    with pytest.raises(AudioError, match="silent"):
        turn_of(Conversation().intent(Audio(np.zeros(16_000, np.float32), 16_000)))


def test_an_interrupted_reply_keeps_what_came():
    intent = Conversation().intent("hi", seed=4)
    reply = Reply("hi", intent)
    script = [TextDelta("hel"), *[Stepped(1, 0)] * 1000, TextDelta("lo"), DONE]
    engine = ScriptedEngine(script, Capabilities("n", "", "cpu", 1, RATE), pause_s=0.01)
    events = reply.events(engine)
    assert TextDelta("hel") in events
    assert reply.turn().answer_text == "hel"
    reply.interrupt()
    assert list(events) == []
    assert (reply.turn().answer_text, reply.turn().seed) == ("hel", 4)
    engine.close()
    assert engine.endings == ["cancelled"]
    assert Reply("hi", intent).id != reply.id


def test_the_export_holds_everything_and_repeats_exactly():
    conversation = talked(
        ChatTurn("你好", "hello", CODES, tone(0.5), RATE, 3, DONE),
        ChatTurn(heard(1.0), "in writing"),
    )
    content = export(conversation, "nano", "a label")
    assert content == export(conversation, "nano", "a label")
    archive = zipfile.ZipFile(io.BytesIO(content))
    facts = json.loads(archive.read("conversation.json"))
    assert (facts["model"], facts["label"]) == ("nano", "a label")
    assert "machine" in facts["notice"]
    first, second, third, fourth = facts["messages"]
    assert first == {"role": "user", "text": "你好", "wav": None}
    assert second == {
        "role": "assistant",
        "text": "hello",
        "codes": list(CODES),
        "seed": 3,
        "reason": "stop",
        "wav": "01-assistant.wav",
    }
    assert third == {"role": "user", "text": None, "wav": "02-user.wav"}
    assert (fourth["wav"], fourth["reason"]) == (None, "interrupted")
    assert set(archive.namelist()) == {"conversation.json", "01-assistant.wav", "02-user.wav"}
    samples, rate = soundfile.read(io.BytesIO(archive.read("01-assistant.wav")), dtype="float32")
    assert rate == RATE
    assert np.abs(samples - tone(0.5)).max() < 1e-4
