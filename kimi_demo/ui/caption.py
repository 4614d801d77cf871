"""The tab that describes a sound and shows it, and its endpoint `/caption`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import gradio as gr

from kimi_demo.errors import KimiError
from kimi_demo.events import collect
from kimi_demo.intents import Caption
from kimi_demo.tasks import ANY_LANGUAGE
from kimi_demo.ui.examples import sounds
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.listening import AnswerBox, answer_changes, heard, sound_examples, sound_input
from kimi_demo.ui.spectrogram import spectrogram
from kimi_demo.ui.tab import (
    QUIET,
    Actions,
    TaskTab,
    Updates,
    aside,
    changed,
    readable_errors,
)
from kimi_demo.ui.view import LANGUAGE_NAMES

NAME = "caption"
CAPTION_LANGUAGES = {ANY_LANGUAGE: "English", **LANGUAGE_NAMES}
EXAMPLE_KINDS = ("sound", "scene", "sequence", "beeps", "voice", "emotion")


class CaptionTab(TaskTab):
    """A sound on the left; its description and its spectrogram on the right."""

    def _build_inputs(self) -> None:
        self.audio = sound_input(f"{NAME}-audio")
        languages = list(self._engine.capabilities.tasks.caption_prompts)
        self.language = gr.Radio(
            [(CAPTION_LANGUAGES.get(code, code), code) for code in sorted(languages)],
            value=ANY_LANGUAGE,
            label=tr("caption_language"),
            visible=len(languages) > 1,
            elem_id=f"{NAME}-language",
        )
        self.actions = Actions(NAME, tr("caption_start"))
        with aside():
            sound_examples(self.audio, [path for kind in EXAMPLE_KINDS for path in sounds(kind)])
            gr.HTML(tr("caption_note"), elem_classes="note")

    def _build_outputs(self) -> None:
        box = AnswerBox(NAME, tr("caption_answer"), tr("caption_answer_placeholder"))
        self.answer, self.report = box.text, box.report
        self.picture = gr.HTML(elem_id=f"{NAME}-picture", elem_classes="flush")

    def _connect(self) -> None:
        shown = [self.answer, self.report]
        triggers = [self.actions.start.click, self.audio.stop_recording]
        running = self._on_start(triggers, self._run, [self.audio, self.language], shown)
        self._on_end(self.actions.stop, running, self._idle, [], [])
        everything = [self.audio, self.picture, *shown]
        self._on_end(self.actions.clear, running, self._cleared, [], everything)
        self.audio.change(self._pictured, [self.audio], [self.picture], **QUIET)

    def _connect_api(self) -> None:
        gr.on(
            [],
            self.caption,
            inputs=[self.audio, self.language],
            outputs=[gr.Textbox(visible=False, label="caption")],
            api_name="caption",
        )

    def caption(self, audio: str, language: str = ANY_LANGUAGE) -> str:
        """Describes in a sentence what can be heard in a sound file.

        Args:
            audio: A wav, flac, ogg, opus or mp3 file.
            language: Of the description: "" for English, or "zh" where the model offers it.
        """
        english = self._words["en"]
        with readable_errors(english):
            return collect(self._engine.stream(Caption(heard(audio, english), language))).text

    def _run(self, path: str | None, language: str, visitor: gr.Request) -> Iterator[Updates]:
        words = words_for(self._words, visitor)
        yield from self._tidied(self._described(path, language, words), words)

    def _described(
        self, path: str | None, language: str, words: Mapping[str, str]
    ) -> Iterator[Updates]:
        sound = heard(path, words)
        changes = answer_changes(self._engine, Caption(sound, language), words)
        yield {self.answer: "", self.report: ""} | self.actions.busy()
        for change in changes:
            yield changed({self.answer: change.text, self.report: change.report})

    def _pictured(self, path: str | None, visitor: gr.Request) -> str:
        """The picture of the chosen sound; what is wrong with it is said when it is described."""
        words = words_for(self._words, visitor)
        try:
            return spectrogram(heard(path, words), words) if path else ""
        except KimiError:
            return ""

    def _cleared(self) -> Updates:
        empty: Updates = dict.fromkeys((self.answer, self.report, self.picture), "")
        return self._idle() | empty | {self.audio: None}
