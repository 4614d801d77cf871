"""A conversation with the model itself: how much of it is told again, and answers in writing."""

import dataclasses

import pytest

from kimi_demo.audio import Audio
from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.local import LocalEngine
from kimi_demo.events import AudioDelta, collect
from kimi_demo.messages import CODES_PER_S
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.generation import GenerationRules, step_budget
from kimi_demo.tasks import Memory
from tests.turns import turn_of
from tests.voice import voice

RATE = 16_000
MARKS = 5  # around a spoken question: role, begin and end of the sound, wish, end
ANSWER_MARKS = 2 + 6  # role and end, and the audio delay


@pytest.fixture(scope="module")
def engine():
    """Nano, as a checkpoint that remembers four turns and answers in writing, too."""
    checkpoint = loading.load(locate.find("nano"), Placement.on("cpu"))
    tasks = dataclasses.replace(
        checkpoint.tasks, memory=Memory(4, 60.0), reply_outputs=("both", "text")
    )
    built = LocalEngine(dataclasses.replace(checkpoint, tasks=tasks))
    yield built
    built.close()


def talked(turns, seconds):
    """Spoken turns; question and answer each last so long."""
    codes = (7,) * round(seconds * CODES_PER_S)
    spoken = [ChatTurn(Audio(voice(seconds), RATE), "yes", codes) for _ in range(turns)]
    return Conversation(tuple(spoken))


def prompt_tokens(engine, conversation, seconds):
    """Of the next spoken question; hardly anything is generated."""
    asked = Audio(voice(seconds), RATE)
    intent = conversation.intent(asked)
    told = turn_of(intent, engine.capabilities.tasks).messages
    return len(told), collect(engine.stream(intent)).finished.prompt_tokens


@pytest.mark.parametrize(("turns", "told"), [(0, 0), (1, 1), (4, 4), (6, 4)])
def test_four_turns_are_told_again(engine, turns, told):
    messages, tokens = prompt_tokens(engine, talked(turns, 2.0), 2.0)
    assert messages == 2 * told + 1
    heard = round(2.0 * CODES_PER_S) * (2 * told + 1)
    assert tokens == heard + (told + 1) * MARKS + told * ANSWER_MARKS + 1  # the answer's role


def test_a_memory_that_is_full_leaves_room_to_answer(engine):
    """60 s of history and question; the rest of the positions is the answer's."""
    messages, tokens = prompt_tokens(engine, talked(6, 6.6), 6.6)
    assert messages == 9
    config = LanguageModelConfig.from_json(locate.find("nano").root / "config.json")
    room = step_budget(tokens, "both", None, GenerationRules(), config.max_positions)
    assert room / CODES_PER_S > 50


def test_an_answer_in_writing_has_no_sound(engine):
    events = list(engine.stream(talked(4, 1.0).intent("what does a dog say?", output="text")))
    assert not any(isinstance(event, AudioDelta) for event in events)
    answer = collect(events)
    assert answer.finished.text_tokens > 0
    assert (answer.finished.audio_tokens, answer.waveform.size) == (0, 0)
