"""An answer about a sound that runs on or loops is asked for once more; nobody sees both texts."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.factory import create_engine
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.events import Finished, Started, StartedOver, TextDelta, Timings, collect
from kimi_demo.options import ModelOptions
from kimi_demo.services import retrying
from kimi_demo.services.transcribing import TranscriptDraft, transcribe, transcript_of
from kimi_demo.tasks import EVALUATION_SAMPLING, TaskTable
from kimi_demo.ui.listening import AnswerView
from kimi_demo.ui.words import EN
from tests.voice import silence, voice

SOUND = Audio(voice(2.0), 16_000)
TIMES = Timings(0.1, None, 0.5, 0.0)


def engine(*answers):
    """Answers one request after the other: words, and why they ended."""
    left = iter(answers)

    def script(request):
        text, reason = next(left)
        words = [TextDelta(word) for word in text.split("|")]
        return [Started(5), *words, Finished(reason, 5, len(words), 0, TIMES)]

    return ScriptedEngine(script, Capabilities("m", "", "cpu", 0, 24_000))


def question():
    return TaskTable().transcription(SOUND, "en")


def test_a_good_answer_passes_as_it_is():
    scripted = engine(("good |morning", "stop"))
    events = list(retrying.stream(scripted, question()))
    assert events == list(engine(("good |morning", "stop")).stream(question()))
    assert scripted.endings == ["finished"]


@pytest.mark.parametrize("reason", ["loop", "length"])
def test_a_runaway_answer_is_taken_back_and_asked_for_again(reason):
    scripted = engine(("ha |ha |ha", reason), ("good morning", "stop"))
    events = list(retrying.stream(scripted, question()))
    kinds = [type(event) for event in events]
    assert kinds == [Started, TextDelta, TextDelta, TextDelta, StartedOver, TextDelta, Finished]
    answer = collect(events)
    assert answer.text == "good morning"
    assert answer.finished == Finished("stop", 10, 4, 0, Timings(0.1, None, 1.0, 0.0))
    first, second = scripted.requests
    assert second.sampling == EVALUATION_SAMPLING != first.sampling
    assert second.sampling.text.repetition_penalty == 1.1
    assert (second.messages, second.max_new_tokens) == (first.messages, first.max_new_tokens)


def test_there_is_one_second_try_and_its_reason_is_told():
    scripted = engine(("a", "loop"), ("b", "length"), ("never", "stop"))
    answer = collect(retrying.stream(scripted, question()))
    assert (answer.text, answer.finished.reason) == ("b", "length")
    assert len(scripted.requests) == 2


@pytest.mark.parametrize(
    ("seen", "endings"),
    [(1, ["cancelled"]), (3, ["cancelled"]), (4, ["finished"]), (5, ["finished", "cancelled"])],
)
def test_closing_stops_the_engine_in_either_try(seen, endings):
    scripted = engine(("a|b", "loop"), ("c|d", "stop"))
    with closing(retrying.stream(scripted, question())) as events:
        for _ in range(seen):
            next(events)
    assert scripted.endings == endings


def test_an_answer_that_breaks_off_is_an_error():
    broken = ScriptedEngine([Started(5)], Capabilities("m", "", "cpu", 0, 24_000))
    with pytest.raises(EngineError, match="broke off"):
        list(retrying.stream(broken, question()))


def test_a_transcript_holds_only_the_second_answer_of_a_piece():
    two_pieces = Audio(np.concatenate([voice(1.5), silence(1), voice(1.0)]), 16_000)
    answers = (("hello", "stop"), ("ha |ha", "loop"), ("bye", "stop"))
    transcript, finished = transcript_of(transcribe(engine(*answers), two_pieces))
    assert [segment.text for segment in transcript.segments] == ["hello", "bye"]
    assert finished.reason == "stop"
    draft = TranscriptDraft()
    for event in transcribe(engine(*answers), two_pieces):
        draft.take(event)
    assert draft.transcript().text == "hello bye"


def test_the_page_replaces_the_text_that_was_taken_back():
    scripted = engine(("ha |ha", "loop"), ("good", "stop"))
    view = AnswerView(question(), 2.0, EN)
    shown = [c.text for e in retrying.stream(scripted, question()) for c in view.changes(e)]
    assert shown[:-1] == ["ha ", "ha ha", "", "good"]


def test_the_embedded_checkpoint_is_asked_again_where_its_answer_is_cut_off():
    embedded = create_engine(ModelOptions(device="cpu"))
    cut = dataclasses.replace(embedded.capabilities.tasks.caption(SOUND), max_new_tokens=3)
    with closing(retrying.stream(embedded, cut)) as stream:
        events = list(stream)
    embedded.close()
    assert sum(isinstance(event, StartedOver) for event in events) == 1
    finished = collect(events).finished
    assert (finished.reason, finished.text_tokens) == ("length", 6)
