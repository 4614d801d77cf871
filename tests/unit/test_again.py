"""An answer about a sound that runs on or loops is asked for once more; nobody sees both texts."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.factory import create_engine
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.tasks.again import told_well
from kimi_demo.errors import EngineError
from kimi_demo.events import Finished, Started, StartedOver, TextDelta, collect
from kimi_demo.intents import Ask, Caption, Transcribe
from kimi_demo.options import ModelOptions
from kimi_demo.tasks import EVALUATION_SAMPLING, TaskTable
from kimi_demo.transcripts import TranscriptDraft, transcript_of
from kimi_demo.ui.listening import AnswerView
from kimi_demo.ui.words import EN
from tests.turns import served, turn_of
from tests.voice import silence, voice

SOUND = Audio(voice(2.0), 16_000)


def engine(*answers):
    """Answers one request after the other: words, and why they ended."""
    left = iter(answers)

    def script(request):
        text, reason = next(left)
        words = [TextDelta(word) for word in text.split("|")]
        return [Started(5), *words, Finished(reason, 5, len(words), 0)]

    return ScriptedEngine(script, Capabilities("m", "", "cpu", 0, 24_000))


QUESTION = Ask.about(SOUND, "What is it?")


def test_a_good_answer_passes_as_it_is():
    scripted = engine(("good |morning", "stop"))
    kinds = [type(event) for event in served(scripted, QUESTION)]
    assert kinds == [Started, TextDelta, TextDelta, Finished]
    assert scripted.endings == ["finished"]


@pytest.mark.parametrize("reason", ["loop", "length"])
def test_a_runaway_answer_is_taken_back_and_asked_for_again(reason):
    scripted = engine(("ha |ha |ha", reason), ("good morning", "stop"))
    events = served(scripted, QUESTION)
    kinds = [type(event) for event in events]
    assert kinds == [Started, TextDelta, TextDelta, TextDelta, StartedOver, TextDelta, Finished]
    answer = collect(events)
    assert answer.text == "good morning"
    finished = answer.finished
    assert (finished.reason, finished.prompt_tokens, finished.text_tokens) == ("stop", 10, 4)
    first, second = scripted.turns
    assert second.sampling == EVALUATION_SAMPLING != first.sampling
    assert second.sampling.text.repetition_penalty == 1.1
    assert (second.messages, second.max_new_tokens) == (first.messages, first.max_new_tokens)


def test_there_is_one_second_try_and_its_reason_is_told():
    scripted = engine(("a", "loop"), ("b", "length"), ("never", "stop"))
    answer = collect(scripted.stream(QUESTION))
    assert (answer.text, answer.finished.reason) == ("b", "length")
    assert len(scripted.turns) == 2


@pytest.mark.parametrize(
    ("seen", "endings"),
    [(1, ["cancelled"]), (3, ["cancelled"]), (5, ["finished", "cancelled"])],
)
def test_closing_stops_the_engine_in_either_try(seen, endings):
    scripted = engine(("a|b", "loop"), ("c|d", "stop"))
    turn = turn_of(QUESTION)
    with closing(told_well(scripted.run_turn, turn, TaskTable())) as events:
        for _ in range(seen):
            next(events)
    assert scripted.endings == endings


def test_an_answer_that_breaks_off_is_an_error():
    broken = ScriptedEngine([Started(5)], Capabilities("m", "", "cpu", 0, 24_000))
    with pytest.raises(EngineError, match="broke off"):
        list(broken.stream(QUESTION))


def test_a_transcript_holds_only_the_second_answer_of_a_piece():
    two_pieces = Audio(np.concatenate([voice(1.5), silence(1), voice(1.0)]), 16_000)
    answers = (("hello", "stop"), ("ha |ha", "loop"), ("bye", "stop"))
    transcript, finished = transcript_of(engine(*answers).stream(Transcribe(two_pieces)))
    assert [segment.text for segment in transcript.segments] == ["hello", "bye"]
    assert finished.reason == "stop"
    draft = TranscriptDraft()
    for event in engine(*answers).stream(Transcribe(two_pieces)):
        draft.take(event)
    assert draft.transcript().text == "hello bye"


def test_the_page_replaces_the_text_that_was_taken_back():
    scripted = engine(("ha |ha", "loop"), ("good", "stop"))
    view = AnswerView(2.0, EN)
    shown = [c.text for e in scripted.stream(QUESTION) for c in view.shown(e)]
    assert shown[:-1] == ["ha ", "ha ha", "", "good"]


def test_the_embedded_checkpoint_is_asked_again_where_its_answer_is_cut_off():
    embedded = create_engine(ModelOptions(device="cpu"))
    table = embedded.capabilities.tasks
    cut = dataclasses.replace(turn_of(Caption(SOUND), table), max_new_tokens=3)
    with closing(told_well(embedded.run_turn, cut, table)) as stream:
        events = list(stream)
    embedded.close()
    assert sum(isinstance(event, StartedOver) for event in events) == 1
    finished = collect(events).finished
    assert (finished.reason, finished.text_tokens) == ("length", 6)
