"""Questions about a sound: the view, the presets and both endpoints; no browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from kimi_demo.choices import ChoiceTask
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import Event, Finished, Started, TextDelta, Timings, Weighed
from kimi_demo.tasks import TaskTable
from kimi_demo.ui.i18n import EN
from kimi_demo.ui.listening import AnswerView
from kimi_demo.ui.understand import preset_words, split_options

RATE = 16_000
END = Finished("stop", 9, 1, 0, Timings(0.1, None, 0.5, 0.0))
TASKS = TaskTable(
    choices={
        "emotion": ChoiceTask("How does it sound?", ("happy", "sad")),
        "sound-own": ChoiceTask("What is it?", ("dog", "cat", "bell"), lettered=False),
    }
)


def second_is_likeliest(request: TurnRequest) -> list[Event]:
    """Options get 1/n but for the second, which takes from the first; otherwise a fixed answer."""
    if not request.options:
        return [Started(9), TextDelta("three "), TextDelta("beeps."), END]
    share = 1 / len(request.options)
    chances = [share / 2, share * 1.5] + [share] * (len(request.options) - 2)
    return [Started(9), Weighed(tuple(chances)), TextDelta(request.options[1].label), END]


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Iterator[Any]:
    capabilities = Capabilities("scripted", "Fixed answers.", "cpu", 1, 24_000, tasks=TASKS)
    with serve(ScriptedEngine(second_is_likeliest, capabilities)) as running:
        yield running


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("sound") / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, RATE), RATE)
    return handle_file(str(path))


def test_the_view_shows_chart_text_and_figures_in_turn():
    view = AnswerView(2.0, EN)
    events = [Started(9), Weighed((0.25, 0.75), ("dog", "cat")), TextDelta("cat"), END]
    changes = [change for event in events for change in view.shown(event)]
    assert changes[0].chances == {"dog": 0.25, "cat": 0.75}
    assert (changes[1].text, changes[1].chances) == ("cat", None)
    assert "0.25" in changes[2].report  # half a second of computing for two of sound


@pytest.mark.parametrize(
    "text", ["dog, cat,, big bell ", "dog，cat、big bell", "dog\ncat;big bell"]
)
def test_options_are_separated_by_what_people_type(text: str):
    assert split_options(text) == ["dog", "cat", "big bell"]


def test_presets_are_named_in_both_languages():
    named = preset_words(Capabilities("m", "l", "cpu", 1, 24_000, tasks=TASKS))
    assert named["understand_preset_emotion"] == ("Emotion", "情绪")
    assert named["understand_preset_sound-own"] == ("Sound event (own)", "声音事件 (own)")


def test_ask_returns_the_answer(client: Client, site: Any, sound: Any):
    assert client.predict(sound, question="How many?", api_name="/ask") == "three beeps."
    assert site.engine.turns[-1].messages[0].parts[0].text == "How many?"
    with pytest.raises(AppError, match="type a sentence"):
        client.predict(sound, question=" ", api_name="/ask")


def test_choose_weighs_the_tasks_options_or_own_ones(client: Client, site: Any, sound: Any):
    result = client.predict(sound, task="sound-own", api_name="/choose")
    assert result["text"] == "cat"
    assert result["options"] == pytest.approx({"dog": 0.1667, "cat": 0.5, "bell": 0.3333})
    own = client.predict(sound, "emotion", "calm, excited", "Which one?", api_name="/choose")
    assert own == {"text": "excited", "options": {"calm": 0.25, "excited": 0.75}}
    asked = site.engine.turns[-1].messages[0].parts[0].text
    assert asked.startswith("Which one?\nOptions:\n(A) calm\n(B) excited")
    with pytest.raises(AppError, match="between 2 and 26"):
        client.predict(sound, task="emotion", options="one", api_name="/choose")
