"""The engine on the embedded checkpoint: what streams, what repeats, what closing leaves."""

import dataclasses
import threading

import numpy as np
import pytest

from kimi_demo.audio import OUTPUT_SAMPLE_RATE, Audio
from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.engine.factory import create_engine
from kimi_demo.engine.local import LocalEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.errors import AudioError, CheckpointError, EngineError, InputError, PromptError
from kimi_demo.events import (
    AudioDelta,
    Finished,
    HeardDelta,
    Queued,
    SentenceStarted,
    Stepped,
    TextDelta,
    collect,
)
from kimi_demo.intents import Caption, Chat, Speak, Transcribe
from kimi_demo.messages import Message, SpokenPart, TextPart
from kimi_demo.model.generation import Step
from kimi_demo.options import ModelOptions

SENTENCE = "What is the weather in Paris today?"


@pytest.fixture(scope="module")
def spoken(engine):
    return collect(engine.stream(Speak(SENTENCE, seed=1)))


def test_events_come_in_order_and_sound_before_the_end(engine):
    events = list(engine.stream(Speak(SENTENCE, seed=1)))
    assert [type(event) for event in events[:2]] == [Queued, SentenceStarted]
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, AudioDelta) for event in events) > 1
    timings = events[-1].timings
    assert timings.first_audio_s < timings.total_s


def test_speech_is_24_khz_within_range_and_as_long_as_its_codes(engine, spoken):
    assert spoken.sample_rate == OUTPUT_SAMPLE_RATE
    assert spoken.finished.reason == "stop"
    assert len(spoken.waveform) == 1920 * spoken.finished.audio_tokens
    assert np.abs(spoken.waveform).max() < 1.0
    assert np.abs(spoken.waveform).max() > 0.05


def test_the_same_seed_gives_the_same_speech(engine, spoken):
    again = collect(engine.stream(Speak(SENTENCE, seed=1)))
    assert again.finished.audio_codes == spoken.finished.audio_codes
    np.testing.assert_allclose(again.waveform, spoken.waveform, atol=1e-5)


def test_phones_in_the_text_stream_are_not_displayed(spoken):
    assert spoken.text == ""
    assert spoken.finished.text_tokens > 0


def test_it_writes_down_what_it_hears(engine, spoken):
    heard = Audio(spoken.waveform, spoken.sample_rate)
    events = list(engine.stream(Transcribe(heard)))
    assert any(isinstance(event, TextDelta) for event in events)
    assert not any(isinstance(event, AudioDelta) for event in events)
    assert len(collect(events).text.split()) >= 3


def test_what_it_writes_for_itself_is_told_apart_and_counted(monkeypatch):
    """The steps are scripted; a checkpoint with the marks would make them."""
    checkpoint = loading.load(locate.find("nano"), Placement.on("cpu"))
    blank = checkpoint.vocabulary.text_blank
    ids = dataclasses.replace(checkpoint.vocabulary, echo_begin=1, echo_end=2)
    encode = checkpoint.text_tokenizer.encode
    echo, answer = encode("what time is it?"), encode("it is five.")

    script = iter([1, *echo, 2, *answer])

    def scripted(model, turns, logits):
        token = next(script)
        turns[0].accept(token, None)
        turns[0].finish_reason = "stop" if token == answer[-1] else None
        return [Step(token, blank, token, blank, is_text=True, is_speech=False)]

    monkeypatch.setattr("kimi_demo.engine.scheduler.advance", scripted)
    echoing = LocalEngine(dataclasses.replace(checkpoint, vocabulary=ids))
    events = list(echoing.stream(Chat.about("hello")))
    told = collect(events)
    assert (told.heard, told.text) == ("what time is it?", "it is five.")
    assert told.finished.text_tokens == len(echo) + len(answer) + 2
    heard = [n for n, event in enumerate(events) if isinstance(event, HeardDelta)]
    first_text = next(n for n, event in enumerate(events) if isinstance(event, TextDelta))
    assert max(heard) < first_text
    steps_before = sum(isinstance(event, Stepped) for event in events[:first_text])
    assert steps_before >= len(echo) + 2
    assert told.finished.timings.first_text_s is not None


def test_a_closed_stream_frees_its_slot_and_its_thread(engine):
    before = threading.active_count()
    stream = engine.stream(Speak(SENTENCE, seed=2))
    while not isinstance(next(stream), AudioDelta):
        pass
    stream.close()
    assert threading.active_count() == before
    assert collect(engine.stream(Speak("Hello.", seed=2))).finished.reason


def test_max_new_tokens_ends_an_answer(engine):
    answer = collect(engine.stream(Speak(SENTENCE, max_new_tokens=12)))
    assert answer.finished.reason == "length"
    assert answer.finished.audio_tokens <= 6


@pytest.mark.parametrize("text", ["", "   ", "\U0001f600", "x" * 5000])
def test_unspeakable_text_is_refused(engine, text):
    with pytest.raises(InputError):
        engine.stream(Chat.about(text))


@pytest.mark.parametrize("waveform", [np.zeros(16_000), np.zeros(100), np.full(16_000 * 600, 0.1)])
def test_unusable_sounds_are_refused(engine, waveform):
    with pytest.raises(AudioError):
        engine.stream(Caption(Audio(waveform.astype(np.float32), 16_000)))


def test_a_prompt_that_fills_the_model_is_refused_and_the_engine_lives_on(engine):
    endless = TurnRequest((Message("user", (TextPart("hello " * 3000),)),), "both")
    with pytest.raises(PromptError):
        collect(engine.run_turn(endless))
    assert collect(engine.stream(Speak("Hello."))).finished.reason


def test_codes_of_another_model_are_refused_and_the_engine_lives_on(engine):
    answered = Message("assistant", (SpokenPart((3, 999_999), "yes"),))
    history = (Message("user", (TextPart("hello"),)), answered)
    with pytest.raises(InputError, match="another model"):
        list(engine.stream(Chat((*history, history[0]))))
    assert collect(engine.stream(Chat.about("hello"))).finished.reason


def test_unknown_checkpoints_and_devices_are_refused():
    with pytest.raises(CheckpointError, match="no checkpoint"):
        create_engine(ModelOptions("no-such-model", device="cpu"))
    with pytest.raises(CheckpointError, match="no device"):
        create_engine(ModelOptions(device="quantum"))


def test_a_closed_engine_says_so():
    closed = create_engine(ModelOptions(device="cpu"))
    closed.close()
    with pytest.raises(EngineError, match="closed"):
        collect(closed.stream(Speak("Hello.")))
