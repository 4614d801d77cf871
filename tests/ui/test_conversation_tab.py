"""What the conversation tab does with each event, without a browser: handlers in, updates out."""

from __future__ import annotations

import json
import re
from typing import Any

import gradio as gr
import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import EngineError
from kimi_demo.events import AudioDelta, Finished, HeardDelta, Started, TextDelta, Timings
from kimi_demo.messages import AudioPart, SpokenPart, TextPart
from kimi_demo.tasks import Memory, TaskTable
from kimi_demo.ui.app import page_words
from kimi_demo.ui.conversation import ConversationTab, settled
from kimi_demo.ui.conversation_view import THINKING, bubbles
from kimi_demo.ui.i18n import EN, ZH, dictionaries

RATE = 24_000
PIECE = (0.5 * np.sin(np.arange(RATE // 4) / 20)).astype(np.float32)
CODES = (3, 1, 4)


def script(request):
    """First what was heard, whether it was said or typed, as the embedded model tells it; then half
    a second of tone that echoes the question. Some questions ask for something else.
    """
    (part,) = request.messages[-1].parts
    asked = part.text if isinstance(part, TextPart) else "a sound"
    if "failure" in asked:
        raise EngineError("out of memory")
    sounds = [AudioDelta(PIECE, RATE)] * 2 if request.output == "both" else []
    answer = [TextDelta("you said "), TextDelta(asked), *sounds]
    if "silence" in asked:
        sounds, answer = [], []
    codes = CODES if sounds else ()
    done = Finished("stop", 9, 1, len(codes), Timings(0.1, 0.2, 0.3, 0.5), codes)
    heard = [HeardDelta(" what <b>"), HeardDelta("is it? ")]
    return [Started(9), *heard, *answer, done]


class Page:
    """The tab and one visitor's view of it: values of components, changed by updates."""

    def __init__(self, tab: ConversationTab) -> None:
        self.tab = tab
        self.values = {tab.conversation: Conversation(), tab.reply: None, tab.chat: []}

    @property
    def mine(self) -> tuple[Any, Any]:
        return self.values[self.tab.conversation], self.values[self.tab.reply]

    def take(self, updates: dict[Any, Any]) -> None:
        self.values |= updates

    def ask(self, text="", path=None, output="both", seed=0) -> None:
        self.take(self.tab._ask(text, path, *self.mine, output, seed, None))

    def answer(self, steps: int | None = None) -> Any:
        """Lets the answer run, or only its first steps; returns the unfinished run."""
        run = self.tab._answer(*self.mine, None)
        for taken, updates in enumerate(run, 1):
            self.take(updates)
            if taken == steps:
                return run
        return None

    def said(self, role: str) -> list[Any]:
        return [m["content"] for m in self.values[self.tab.chat] if m["role"] == role]

    def history(self) -> list[Any]:
        turns = settled(*self.mine).turns
        return [turn.asked for turn in turns]


@pytest.fixture(scope="module")
def tab():
    """It keeps nothing of a visitor, so all may share it."""
    capabilities = Capabilities("scripted", "", "cpu", 0, RATE, ("en", "zh"))
    with gr.Blocks():
        # The job runs ahead of whoever reads it, so an event takes a while: some are left to cut.
        return ConversationTab(ScriptedEngine(script, capabilities, 0.05), dictionaries())


@pytest.fixture
def engine(tab):
    tab._engine.turns.clear()
    tab._engine.endings.clear()
    return tab._engine


@pytest.fixture
def page(tab, engine):
    return Page(tab)


@pytest.fixture
def warnings(monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(gr, "Warning", shown.append)
    return shown


def test_a_question_is_shown_at_once_and_then_its_answer(page, tab, engine):
    page.ask("hello")
    assert page.values[tab.chat] == [{"role": "user", "content": "hello"}]
    assert page.values[tab.text] == ""
    page.answer()
    text, sound = page.said("assistant")[0]
    assert text == "you said hello"
    assert sound["file"]["orig_name"] == "you-said-hello.wav"
    assert sound["alt_text"] == "Spoken answer, 0.5 s"
    last = json.loads(page.values[tab.player])
    assert (last["end"], last["run"]) == (True, page.mine[1].id)
    assert "first sound <b>0." in page.values[tab.report]
    assert engine.endings == ["finished"]


def test_markup_is_shown_as_it_was_typed(page):
    page.ask("<b>1 & 2</b>")
    page.answer()
    assert page.said("user") == ["&lt;b&gt;1 &amp; 2&lt;/b&gt;"]
    assert page.said("assistant")[0][0] == "you said &lt;b&gt;1 &amp; 2&lt;/b&gt;"
    assert page.history() == ["<b>1 & 2</b>"]


def test_text_and_sound_come_while_they_are_made(page, tab):
    page.ask("hello")
    begun = page.answer(steps=2)
    assert page.said("assistant") == ["you said "]
    assert page.said("user") == ["hello"]  # whoever types sees what was typed
    begun.close()
    page.mine[1]._job.join()
    page.answer(steps=4)
    assert json.loads(page.values[tab.player])["chunks"]


def test_the_next_question_brings_the_tokens_of_the_last_answer(page, engine):
    page.ask("hello")
    page.answer()
    page.ask("and now?", output="text")
    page.answer()
    question, answer, following = engine.turns[-1].messages
    assert question.parts == (TextPart("hello"),)
    assert answer.parts == (SpokenPart(CODES, "you said hello"),)
    assert following.parts == (TextPart("and now?"),)
    assert engine.turns[-1].output == "text"
    assert page.said("assistant")[-1] == ["you said and now?"]


def test_a_recording_is_heard_and_shown(page, engine, tmp_path):
    path = tmp_path / "recording.wav"
    path.write_bytes(Audio(np.tile(PIECE, 4), RATE).wav())
    page.ask("", str(path))
    page.answer()
    (part,) = engine.turns[-1].messages[0].parts
    assert isinstance(part, AudioPart)
    assert part.audio.sample_rate == 16_000
    sound, _ = page.said("user")[0]
    assert sound["alt_text"] == "Your recording, 1.0 s"


def test_what_was_heard_of_a_recording_grows_below_it_and_stays(page, tab, tmp_path):
    path = tmp_path / "recording.wav"
    path.write_bytes(Audio(np.tile(PIECE, 4), RATE).wav())
    page.ask("", str(path))
    seen = []
    for updates in tab._answer(*page.mine, None):
        page.take(updates)
        seen.append((*page.said("user"), *page.said("assistant")))
    notes = [asked[1] if isinstance(asked, list) else "" for asked, *_ in seen]
    whole = "heard: what &lt;b&gt;is it?"
    assert list(dict.fromkeys(notes)) == ["", "heard: what &lt;b&gt;", whole]
    waiting = next(n for n, note in enumerate(notes) if note)
    assert seen[waiting][1] == THINKING  # it is there before the answer
    page.ask("and now?")
    assert page.said("user")[0][1] == whole
    assert page.said("user")[1] == "and now?"
    told = bubbles(page.mine[0].turns, lambda sound, name: name, ZH)
    assert told[0]["content"][1] == "听到：what &lt;b&gt;is it?"


def test_a_model_that_does_not_tell_what_it_heard_leaves_no_note():
    turn = ChatTurn(Audio(PIECE, RATE), "fine.", heard_text=" ")
    question, answer = bubbles([turn], lambda sound, name: name, EN)
    assert question["content"]["alt_text"] == "Your recording, 0.2 s"
    assert answer["content"] == ["fine."]


def test_a_new_question_ends_the_reply_in_work(page, tab, engine, eventually):
    page.ask("first")
    old = page.answer(steps=4)
    page.ask("second")
    shown = page.values[tab.chat]
    assert list(old) == []  # what the old run would still say is not shown
    assert eventually(lambda: engine.endings == ["cancelled"])
    assert page.values[tab.chat] is shown
    page.answer()
    assert page.history() == ["first", "second"]
    assert engine.turns[-1].messages[1].parts == (TextPart("you said first"),)


def test_an_interrupted_question_in_the_queue_never_reaches_the_engine(page, tab, engine):
    page.ask("first")
    waiting = tab._answer(*page.mine, None)
    page.ask("second")
    assert list(waiting) == []
    assert engine.turns == []
    assert page.history() == []


def test_stop_keeps_what_was_said(page, tab, engine, eventually):
    page.ask("hello")
    run = page.answer(steps=4)
    page.take(tab._stopped(*page.mine, None))
    run.close()
    assert eventually(lambda: engine.endings == ["cancelled"])
    (content,) = page.said("assistant")
    assert content[0] == "you said hello"
    assert content[1]["alt_text"] == "Spoken answer, 0.2 s"
    page.ask("next")
    assert page.history() == ["hello"]


def test_retry_forgets_the_answer_and_draws_a_seed(page, tab, engine):
    page.ask("hello")
    page.answer()
    page.take(tab._ask_again(*page.mine, "both", 0, None))
    page.answer()
    assert page.history() == ["hello"]
    assert len(engine.turns[-1].messages) == 1
    assert engine.turns[-1].seed == page.values[tab.seed] != 0


def test_undo_goes_back_turn_by_turn(page, tab):
    for text in ("one", "two", "three"):
        page.ask(text)
        page.answer()
    page.take(tab._undone(*page.mine, None))
    assert page.history() == ["one", "two"]
    assert page.said("user") == ["one", "two"]
    assert page.values[tab.text] == "three"
    page.take(tab._undone(*page.mine, None))
    page.take(tab._undone(*page.mine, None))
    page.take(tab._undone(*page.mine, None))
    assert page.history() == page.values[tab.chat] == []


def test_clear_forgets_everything_even_late_news(page, tab, engine):
    page.ask("hello")
    run = page.answer(steps=3)
    page.take(tab._cleared(*page.mine))
    assert list(run) == []
    assert page.history() == page.values[tab.chat] == []
    page.ask("afresh")
    page.answer()
    assert len(engine.turns[-1].messages) == 1


def test_a_failure_leaves_the_question_for_another_try(page, tab):
    page.ask("failure")
    with pytest.raises(gr.Error, match="memory"):
        page.answer()
    assert page.said("user") == ["failure"]
    assert json.loads(page.values[tab.player])["end"]
    assert page.history() == []
    page.ask("hello")
    assert page.said("user") == ["hello"]


def test_an_empty_question_is_refused_in_the_visitors_language(page, tab, warnings):
    page.ask("  ")
    assert warnings == ["There is no question yet: type one or record it."]
    assert page.mine[1] is None
    assert json.loads(page.values[tab.player])["end"]
    page.answer()
    assert page.values[tab.chat] == []


def test_a_model_without_an_answer_is_not_passed_over(page, warnings):
    page.ask("silence")
    page.answer()
    assert warnings == [EN["conversation_silent"]]
    assert page.history() == []


def test_nothing_to_export_is_said(page, tab, warnings):
    assert tab._export(*page.mine, None) is None
    assert warnings == [EN["conversation_no_turns"]]
    page.ask("hello")
    page.answer(steps=3)
    assert tab._export(*page.mine, None).endswith("conversation.zip")


def test_two_visitors_never_mix(tab, engine):
    first, second = Page(tab), Page(tab)
    first.ask("mine")
    second.ask("yours")
    run = first.answer(steps=3)
    second.answer()
    for updates in run:
        first.take(updates)
    assert (first.history(), second.history()) == (["mine"], ["yours"])
    assert first.said("assistant")[0][0] == "you said mine"
    second.ask("more")
    second.answer()
    assert [m.parts[0].text for m in engine.turns[-1].messages] == [
        "yours",
        "you said yours",
        "more",
    ]


def test_the_page_tells_how_much_is_remembered():
    tasks = TaskTable(memory=Memory(turns=7, seconds=45.0))
    words = page_words(Capabilities("scripted", "", "cpu", 1, 24_000, tasks=tasks))
    for language in ("en", "zh-CN"):
        assert re.search(r"\b7\b.*\b45\b", words[language]["conversation_memory"], re.ASCII)
