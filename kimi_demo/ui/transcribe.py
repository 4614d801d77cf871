"""The tab that listens and writes, and its endpoint `/transcribe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from kimi_demo.engine.tasks.transcribe import heard_languages
from kimi_demo.intents import Transcribe
from kimi_demo.subtitles import FORMATS, facts
from kimi_demo.text.languages import DETECT
from kimi_demo.transcripts import transcript_of
from kimi_demo.ui.examples import sounds
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.listening import AnswerBox, heard, sound_examples, sound_input
from kimi_demo.ui.tab import (
    Actions,
    TaskTab,
    Updates,
    aside,
    changed,
    language_choices,
    readable_errors,
)
from kimi_demo.ui.transcript_view import TranscriptView
from kimi_demo.ui.view import Shown

NAME = "transcribe"


class TranscribeTab(TaskTab):
    """A recording on the left; its text, its segments and files of both on the right."""

    @property
    def _languages(self) -> tuple[str, ...]:
        capabilities = self._engine.capabilities
        return heard_languages(capabilities.tasks, capabilities.languages)

    def _build_inputs(self) -> None:
        self.audio = sound_input(f"{NAME}-audio")
        self.language = gr.Radio(
            language_choices(self._languages),
            value=DETECT,
            label=tr("language"),
            elem_id=f"{NAME}-language",
        )
        self.actions = Actions(NAME, tr("transcribe"))
        with aside():
            sound_examples(self.audio, sounds("speech"))
            gr.HTML(tr("transcribe_note"), elem_classes="note")

    def _build_outputs(self) -> None:
        box = AnswerBox(NAME, tr("transcript"), tr("transcript_placeholder"))
        self.transcript, self.report = box.text, box.report
        with gr.Row(elem_classes="downloads"):
            self.downloads = {
                name: gr.DownloadButton(
                    name.upper(),
                    size="sm",
                    interactive=False,
                    min_width=60,
                    elem_id=f"{NAME}-{name}",
                )
                for name in FORMATS
            }
        self.segments = gr.HTML(elem_id=f"{NAME}-segments", elem_classes="flush")
        self.under_way = gr.State(None)  # the visitor's TranscriptView: Stop keeps what it has

    def _connect(self) -> None:
        result = [self.transcript, self.segments, self.report, *self.downloads.values()]
        result.append(self.under_way)
        triggers = [self.actions.start.click, self.audio.stop_recording]
        running = self._on_start(triggers, self._run, [self.audio, self.language], result)
        self._on_end(self.actions.stop, running, self._stopped, [self.under_way], result)
        self._on_end(self.actions.clear, running, self._cleared, [], [self.audio, *result])

    def _connect_api(self) -> None:
        with gr.Row(visible=False):
            text = gr.Textbox(label="text")
            info = gr.JSON(label="info")
            language = gr.Textbox(DETECT, label="language")
        gr.on(
            [],
            self.transcribe,
            inputs=[self.audio, language],
            outputs=[text, info],
            api_name="transcribe",
        )

    def transcribe(self, audio: str, language: str) -> tuple[str, dict[str, object]]:
        """Writes down what is said in a recording of up to an hour, and when each part was said.

        Returns the text, then a JSON object with language, duration and the segments' times.

        Args:
            audio: A wav, flac, ogg, opus, mp3, m4a, mp4 or webm file.
            language: "detect", or one that the model can be told beforehand: "en" or "zh".
        """
        english = self._words["en"]
        with readable_errors(english):
            sound = heard(audio, english)
            transcript, _ = transcript_of(self._engine.stream(Transcribe(sound, language)))
        return transcript.text, {"audio_s": round(sound.duration_s, 3), **facts(transcript)}

    def _run(self, path: str | None, language: str, visitor: gr.Request) -> Iterator[Updates]:
        words = words_for(self._words, visitor)
        yield from self._tidied(self._written(path, language, words), words)

    def _written(
        self, path: str | None, language: str, words: Mapping[str, str]
    ) -> Iterator[Updates]:
        sound = heard(path, words)
        view = TranscriptView(Path(path or "").stem, sound.duration_s, words)
        begun = self._updates(view.started(), view) | self.actions.busy()
        yield begun | {self.under_way: view}
        try:
            with closing(self._engine.stream(Transcribe(sound, language))) as events:
                for event in events:
                    for shown in view.shown(event):
                        yield self._updates(shown, view)
        except Exception:
            yield self._updates(view.stopped(), view)
            raise

    def _stopped(self, view: TranscriptView | None) -> Updates:
        """What was written down so far can be downloaded like a whole transcript."""
        shown = self._updates(view.stopped(), view) if view else {}
        return shown | self._idle()

    def _cleared(self) -> Updates:
        emptied = Shown(text="", segments="", report="", files={})
        return self._updates(emptied, None) | self._idle() | {self.audio: None}

    def _updates(self, shown: Shown, view: TranscriptView | None) -> Updates:
        updates = changed(
            {
                self.transcript: shown.text,
                self.segments: shown.segments,
                self.report: shown.report,
            }
        )
        if shown.files is not None:
            updates |= self._offered(shown.files, view.stem if view else "")
        return updates

    def _offered(self, files: Mapping[str, str], stem: str) -> Updates:
        """Buttons for these files; without files, buttons that wait."""
        return {
            button: gr.DownloadButton(
                value=self._saved(files[name], f"{stem}.{name}") if files else None,
                interactive=bool(files),
            )
            for name, button in self.downloads.items()
        }

    def _saved(self, contents: str, name: str) -> str:
        cache = self.audio.GRADIO_CACHE
        return save_bytes_to_cache(contents.encode(), name, cache)

    def _idle(self) -> Updates:
        return super()._idle() | {self.under_way: None}
