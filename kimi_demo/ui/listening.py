"""What the tabs that listen have in common: a recorder, examples, and an answer that grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import gradio as gr
from gradio.i18n import I18nData

from kimi_demo import audio
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.engine.base import Engine
from kimi_demo.errors import AudioError
from kimi_demo.events import Event, Finished, Queued, StartedOver, TextDelta, Weighed
from kimi_demo.intents import Ask, Caption, Choose, heard_s
from kimi_demo.ui.examples import worded
from kimi_demo.ui.i18n import tr
from kimi_demo.ui.view import QueueNote, Shown, transcript_report

# Run by the browser when the tab is first shown.
_HIDE_WHERE_SECURE = """
element.closest("[id$=-microphone]").style.display = window.isSecureContext ? "none" : "";
"""
_ANNOUNCE_ANSWER = """
const untilThere = setInterval(() => {
  const box = document.querySelector("#NAME-answer textarea");
  if (!box) return;
  box.setAttribute("aria-live", "polite");
  clearInterval(untilThere);
}, 200);
"""


def sound_input(elem_id: str) -> gr.Audio:
    """The recorder, and below it a note where the page may not use the microphone."""
    component = gr.Audio(
        sources=["microphone", "upload"], type="filepath", label=tr("audio_in"), elem_id=elem_id
    )
    gr.HTML(
        tr("microphone_note"),
        js_on_load=_HIDE_WHERE_SECURE,
        elem_id=f"{elem_id}-microphone",
        elem_classes="note warning",
    )
    return component


def sound_examples(audio: gr.Audio, found: Sequence[str]) -> None:
    if found:
        gr.Examples(
            [[path] for path in found],
            [audio],
            label=tr("examples"),
            example_labels=[worded(path) for path in found],
            examples_per_page=len(found),
            api_visibility="private",
        )


def heard(path: str | None, words: Mapping[str, str]) -> Audio:
    """The sound of a file as models hear it.

    Raises: AudioError if there is no file or it is no sound.
    """
    if not path:
        raise AudioError(words["audio_missing"])
    return audio.read(path, sample_rate=INPUT_SAMPLE_RATE)


class AnswerBox:
    """Where an answer's text grows, and the line of figures under it."""

    def __init__(self, name: str, label: str | I18nData, placeholder: str | I18nData) -> None:
        self.text = gr.Textbox(
            label=label,
            placeholder=placeholder,
            lines=4,
            max_lines=20,
            interactive=False,
            buttons=["copy"],
            elem_id=f"{name}-answer",
            elem_classes="answer",
        )
        script = _ANNOUNCE_ANSWER.replace("NAME", name)
        self.report = gr.HTML(js_on_load=script, elem_id=f"{name}-report", elem_classes="flush")


class AnswerView:
    """Turns the events of one answer about a sound into changes of the page. heard_s: of it."""

    def __init__(self, heard_s: float, words: Mapping[str, str]) -> None:
        self._heard_s = heard_s
        self._words = words
        self._text = ""
        self._queue = QueueNote(words)

    def shown(self, event: Event) -> Iterator[Shown]:
        match event:
            case Queued():
                yield from (Shown(report=report) for report in self._queue.changed(event, ""))
            case TextDelta():
                self._text += event.text
                yield Shown(text=self._text)
            case StartedOver():
                self._text = ""
                yield Shown(text="")
            case Weighed():
                yield Shown(chances=dict(zip(event.options, event.probabilities, strict=True)))
            case Finished():
                yield Shown(report=transcript_report(event, self._heard_s, self._words))


def answer_changes(
    engine: Engine, intent: Caption | Ask | Choose, words: Mapping[str, str]
) -> Iterator[Shown]:
    """The changes that show one answer, from an empty page on; closing it cancels the job.

    Raises: InputError at once for what cannot be asked.
    """
    view = AnswerView(heard_s(intent), words)
    events = engine.stream(intent)

    def changes() -> Iterator[Shown]:
        with closing(events):
            for event in events:
                yield from view.shown(event)

    return changes()
