"""The tab that describes a sound and shows it, and its endpoint `/caption`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import gradio as gr

from kimi_demo.engine.base import Engine
from kimi_demo.errors import KimiError
from kimi_demo.events import collect
from kimi_demo.tasks import ANY_LANGUAGE
from kimi_demo.ui.examples import labelled, sounds
from kimi_demo.ui.failures import readable, toast
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.listening import QUIET, Actions, Change, answer_box, answered, heard, sound_input
from kimi_demo.ui.spectrogram import spectrogram
from kimi_demo.ui.speech import ENGINE_QUEUE, Updates, Words

NAME = "caption"
LANGUAGE_NAMES = {ANY_LANGUAGE: "English", "en": "English", "zh": "中文"}
EXAMPLE_KINDS = ("sound", "scene", "sequence", "beeps", "emotion")


class CaptionTab:
    """Builds the tab inside the current Blocks context and connects it to the engine."""

    def __init__(self, engine: Engine, words: Words) -> None:
        self._engine = engine
        self._words = words
        with gr.Row(elem_classes="task"):
            with gr.Column(scale=5, min_width=300):
                self._build_inputs()
            with gr.Column(scale=6, min_width=300):
                self._build_outputs()
        self._connect()
        self._connect_api()

    def _build_inputs(self) -> None:
        self.audio = sound_input(f"{NAME}-audio")
        languages = list(self._engine.capabilities.tasks.caption_prompts)
        self.language = gr.Radio(
            [(LANGUAGE_NAMES.get(code, code), code) for code in sorted(languages)],
            value=ANY_LANGUAGE,
            label=tr("caption_language"),
            visible=len(languages) > 1,
            elem_id=f"{NAME}-language",
        )
        self.actions = Actions(NAME, tr("caption_start"))
        found = [path for kind in EXAMPLE_KINDS for path in sounds(kind)]
        if found:
            gr.Examples(
                [[path] for path in found],
                [self.audio],
                label=tr("examples"),
                example_labels=[labelled(path) for path in found],
                api_visibility="private",
            )
        gr.HTML(tr("caption_note"), elem_classes="note")

    def _build_outputs(self) -> None:
        self.answer, self.report = answer_box(
            NAME, tr("caption_answer"), tr("caption_answer_placeholder")
        )
        self.picture = gr.HTML(elem_id=f"{NAME}-picture", elem_classes="flush")

    def _connect(self) -> None:
        shown = [self.answer, self.report, self.actions.start, self.actions.stop]
        running = gr.on(
            [self.actions.start.click, self.audio.stop_recording],
            self._run,
            inputs=[self.audio, self.language],
            outputs=shown,
            show_progress="minimal",
            show_progress_on=self.report,
            api_visibility="private",
            **ENGINE_QUEUE,
        )
        self.audio.change(self._pictured, inputs=[self.audio], outputs=[self.picture], **QUIET)
        self.actions.stop.click(
            self.actions.idle,
            outputs=[self.actions.start, self.actions.stop],
            cancels=[running],
            **QUIET,
        )
        self.actions.clear.click(
            self._cleared, outputs=[self.audio, self.picture, *shown], cancels=[running], **QUIET
        )

    def _connect_api(self) -> None:
        gr.on(
            [],
            self.caption,
            inputs=[self.audio, self.language],
            outputs=[gr.Textbox(visible=False, label="caption")],
            api_name="caption",
            **ENGINE_QUEUE,
        )

    def caption(self, audio: str, language: str = ANY_LANGUAGE) -> str:
        """Describes in a sentence what can be heard in a sound file.

        Args:
            audio: A wav, flac, ogg, opus or mp3 file.
            language: Of the description: "" for English, or "zh" where the model offers it.
        """
        english = self._words["en"]
        try:
            request = self._engine.capabilities.tasks.caption(heard(audio, english), language)
            with closing(self._engine.stream(request)) as events:
                return collect(events).text
        except Exception as exc:
            raise readable(exc, english) from exc

    def _run(self, path: str | None, language: str, visitor: gr.Request) -> Iterator[Updates]:
        """One run of the page; closing it closes the engine's."""
        words = words_for(self._words, visitor)
        failure = None
        try:
            sound = heard(path, words)
            request = self._engine.capabilities.tasks.caption(sound, language)
            yield {self.answer: "", self.report: ""} | self.actions.busy()
            for change in answered(self._engine, request, sound.duration_s, words):
                yield self._updates(change)
        except Exception as exc:
            failure = toast(exc, words)
        yield self.actions.idle()
        if failure:
            raise failure

    def _pictured(self, path: str | None, visitor: gr.Request) -> str:
        """The picture of the chosen sound; what is wrong with it is said when it is described."""
        words = words_for(self._words, visitor)
        try:
            return spectrogram(heard(path, words), words) if path else ""
        except KimiError:
            return ""

    def _updates(self, change: Change) -> Updates:
        updates: Updates = {}
        if change.text is not None:
            updates[self.answer] = change.text
        if change.report is not None:
            updates[self.report] = change.report
        return updates

    def _cleared(self) -> Updates:
        empty: Updates = dict.fromkeys((self.answer, self.report, self.picture), "")
        return self.actions.idle() | empty | {self.audio: None}
