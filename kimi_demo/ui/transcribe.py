"""The tab that listens and writes, and its endpoint `/transcribe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import gradio as gr
from gradio.components import Component

from kimi_demo import audio
from kimi_demo.engine.base import Engine
from kimi_demo.errors import AudioError
from kimi_demo.events import collect
from kimi_demo.messages import Request
from kimi_demo.ui.examples import sounds
from kimi_demo.ui.failures import readable, toast
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.speech import ENGINE_QUEUE, Updates, Words
from kimi_demo.ui.view import Shown, TranscriptView

# Run by the browser when the tab is first shown.
HIDE_WHERE_SECURE = """
element.closest("#microphone-note").style.display = window.isSecureContext ? "none" : "";
"""
ANNOUNCE_TRANSCRIPT = """
const untilThere = setInterval(() => {
  const box = document.querySelector("#transcript textarea");
  if (!box) return;
  box.setAttribute("aria-live", "polite");
  clearInterval(untilThere);
}, 200);
"""

LANGUAGE_NAMES = {"en": "English", "zh": "中文"}


def transcription_request(
    engine: Engine, path: str | None, language: str, words: Mapping[str, str]
) -> tuple[Request, float]:
    """The request for this file and how many seconds it lasts.

    Raises: AudioError if there is no file or it cannot be listened to.
    """
    if not path:
        raise AudioError(words["audio_missing"])
    heard = audio.read(path).resampled(audio.INPUT_SAMPLE_RATE)
    return engine.capabilities.tasks.transcription(heard, language), heard.duration_s


class TranscribeTab:
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

    def _build_inputs(self) -> None:
        self.audio = gr.Audio(
            sources=["microphone", "upload"],
            type="filepath",
            label=tr("audio_in"),
            elem_id="transcribe-audio",
        )
        gr.HTML(
            tr("microphone_note"),
            js_on_load=HIDE_WHERE_SECURE,
            elem_id="microphone-note",
            elem_classes="note warning",
        )
        self.language = gr.Radio(
            [(tr("language_auto"), ""), *self._languages()],
            value="",
            label=tr("language"),
            elem_id="transcribe-language",
        )
        with gr.Row(elem_classes="actions"):
            self.transcribe_button = gr.Button(
                tr("transcribe"), variant="primary", min_width=120, elem_id="transcribe-start"
            )
            self.stop = gr.Button(
                tr("stop"), interactive=False, min_width=90, elem_id="transcribe-stop"
            )
            self.clear = gr.Button(tr("clear"), min_width=90, elem_id="transcribe-clear")
        found = sounds()
        if found:
            gr.Examples([[path] for path in found], [self.audio], label=tr("examples"))
        gr.HTML(tr("audio_note"), elem_classes="note")

    def _languages(self) -> list[tuple[str, str]]:
        codes = self._engine.capabilities.languages
        return [(LANGUAGE_NAMES.get(code, code), code) for code in codes]

    def _build_outputs(self) -> None:
        self.transcript = gr.Textbox(
            label=tr("transcript"),
            placeholder=tr("transcript_placeholder"),
            lines=8,
            max_lines=20,
            interactive=False,
            buttons=["copy"],
            elem_id="transcript",
        )
        self.report = gr.HTML(js_on_load=ANNOUNCE_TRANSCRIPT, elem_id="transcribe-report")

    def _connect(self) -> None:
        shown = [self.transcript, self.report, self.transcribe_button, self.stop]
        running = gr.on(
            [self.transcribe_button.click, self.audio.stop_recording],
            self._run,
            inputs=[self.audio, self.language],
            outputs=shown,
            show_progress="minimal",
            show_progress_on=self.report,
            api_visibility="private",
            **ENGINE_QUEUE,
        )
        quiet: dict[str, Any] = {
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        self.stop.click(
            self._idle, outputs=[self.transcribe_button, self.stop], cancels=[running], **quiet
        )
        self.clear.click(self._cleared, outputs=[self.audio, *shown], cancels=[running], **quiet)
        gr.on(
            [],
            self.transcribe,
            inputs=[self.audio, self.language],
            outputs=[gr.Textbox(visible=False, label="text")],
            api_name="transcribe",
            **ENGINE_QUEUE,
        )

    def transcribe(self, audio: str, language: str) -> str:
        """Writes down what is said in a sound file.

        Args:
            audio: A wav, flac, ogg, opus or mp3 file.
            language: "en", "zh", or "" to let the model decide.
        """
        english = self._words["en"]
        try:
            request, _ = transcription_request(self._engine, audio, language, english)
            with closing(self._engine.stream(request)) as events:
                return collect(events).text
        except Exception as exc:
            raise readable(exc, english) from exc

    def _run(self, path: str | None, language: str, visitor: gr.Request) -> Iterator[Updates]:
        """One run of the page; closing it closes the engine's."""
        words = words_for(self._words, visitor)
        failure = None
        try:
            request, heard_s = transcription_request(self._engine, path, language, words)
            view = TranscriptView(heard_s, words)
            yield self._updates(view.started()) | self._busy()
            with closing(self._engine.stream(request)) as events:
                for event in events:
                    for shown in view.shown(event):
                        yield self._updates(shown)
        except Exception as exc:
            failure = toast(exc, words)
        yield self._idle()
        if failure:
            raise failure

    def _updates(self, shown: Shown) -> Updates:
        updates: dict[Component, Any] = {}
        if shown.text is not None:
            updates[self.transcript] = shown.text
        if shown.report is not None:
            updates[self.report] = shown.report
        return updates

    def _busy(self) -> Updates:
        return {
            self.transcribe_button: gr.Button(interactive=False),
            self.stop: gr.Button(interactive=True),
        }

    def _idle(self) -> Updates:
        return {
            self.transcribe_button: gr.Button(interactive=True),
            self.stop: gr.Button(interactive=False),
        }

    def _cleared(self) -> Updates:
        return self._idle() | {self.audio: None, self.transcript: "", self.report: ""}
