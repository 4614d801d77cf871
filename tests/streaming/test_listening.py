"""The engine on the embedded checkpoint: options are weighed, a heard sound is encoded once."""

import dataclasses

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.choices import ChoiceTask
from kimi_demo.errors import PromptError
from kimi_demo.events import Finished, Queued, Started, Stepped, TextDelta, Weighed, collect
from kimi_demo.intents import Caption, Chat, Choose
from kimi_demo.messages import Message, Option, SpokenPart
from tests.turns import turn_of

COLOURS = ("red", "green", "dark blue")


def beep(hz):
    time = np.arange(16_000) / 16_000
    return Audio((0.4 * np.sin(2 * np.pi * hz * time)).astype(np.float32), 16_000)


@pytest.fixture(scope="module")
def table(engine):
    """The checkpoint's own table with two closed questions of which the answers do not matter."""
    question = "which colour is it?"
    choices = {
        "lettered": ChoiceTask(question, COLOURS),
        "worded": ChoiceTask(question, COLOURS, lettered=False),
    }
    return dataclasses.replace(engine.capabilities.tasks, choices=choices)


@pytest.fixture
def encodings(engine, monkeypatch):
    """Counts what both encoders are asked."""
    calls = {"speech_tokenizer": 0, "acoustic_encoder": 0}

    def counted(name):
        real = getattr(engine._checkpoint, name).encode

        def call(waveform):
            calls[name] += 1
            return real(waveform)

        return call

    for name in calls:
        monkeypatch.setattr(getattr(engine._checkpoint, name), "encode", counted(name))
    return calls


@pytest.mark.parametrize("task", ["lettered", "worded"])
def test_options_are_weighed_and_nothing_is_generated(engine, table, task):
    request = turn_of(Choose.about(beep(440), task), table)
    events = list(engine.run_turn(request))
    told = [type(event) for event in events if not isinstance(event, Queued | Stepped)]
    assert told == [Started, Weighed, TextDelta, Finished]
    answer = collect(events)
    assert len(answer.probabilities) == len(COLOURS)
    assert sum(answer.probabilities) == pytest.approx(1.0)
    likeliest = int(np.argmax(answer.probabilities))
    assert answer.text == COLOURS[likeliest]
    chosen = engine._checkpoint.text_tokenizer.encode(request.options[likeliest].answer)
    assert answer.finished.text_tokens == len(chosen)
    assert answer.finished.prompt_tokens == events[0].prompt_tokens
    assert answer.finished.reason == "stop"
    assert (answer.finished.audio_tokens, len(answer.waveform)) == (0, 0)


def test_weighing_leaves_the_next_answer_as_it_was(engine, table):
    plain, closed = Caption(beep(523)), turn_of(Choose.about(beep(523), "worded"), table)
    before = collect(engine.stream(plain)).text
    first, second = (collect(engine.run_turn(closed)) for _ in range(2))
    assert first.probabilities == pytest.approx(second.probabilities, abs=1e-6)
    assert collect(engine.stream(plain)).text == before


def test_the_order_of_options_does_not_matter_where_they_are_not_listed(engine, table):
    forward, backward = (
        collect(engine.run_turn(turn_of(Choose.about(beep(600), "worded", options), table)))
        for options in (COLOURS, COLOURS[::-1])
    )
    assert backward.probabilities[::-1] == pytest.approx(forward.probabilities, abs=1e-5)
    assert backward.text == forward.text


def test_spoken_output_is_not_started_for_options(engine, table):
    request = turn_of(Choose.about(beep(440), "worded"), table)
    request = dataclasses.replace(request, output="both")
    assert not len(collect(engine.run_turn(request)).waveform)


def test_an_option_without_words_is_refused_and_the_engine_lives_on(engine, table):
    request = turn_of(Choose.about(beep(440), "worded"), table)
    broken = dataclasses.replace(request, options=(Option("red", "red"), Option("none", "")))
    with pytest.raises(PromptError, match="options"):
        collect(engine.run_turn(broken))
    assert collect(engine.run_turn(request)).text


def test_a_second_question_about_a_sound_costs_no_encoding(engine, table, encodings):
    first = collect(engine.stream(Caption(beep(700))))
    assert encodings == {"speech_tokenizer": 1, "acoustic_encoder": 1}
    assert collect(engine.stream(Caption(beep(700)))).text == first.text
    collect(engine.run_turn(turn_of(Choose.about(beep(700), "worded"), table)))
    assert encodings == {"speech_tokenizer": 1, "acoustic_encoder": 1}
    collect(engine.stream(Caption(beep(701))))
    assert encodings == {"speech_tokenizer": 2, "acoustic_encoder": 2}


def test_the_sounds_of_a_conversation_are_encoded_once(engine, table, encodings):
    asked, answer = Chat.about(beep(800)).asked, SpokenPart((1, 2, 3), "beep")
    then = Chat.about(beep(801)).asked
    for messages in ((asked,), (asked, Message("assistant", (answer,)), then)):
        collect(engine.stream(Chat(messages, max_new_tokens=3)))
    assert encodings == {"speech_tokenizer": 2, "acoustic_encoder": 2}
