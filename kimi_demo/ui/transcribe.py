"""The tab that listens and writes, and its endpoint `/transcribe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from kimi_demo.engine.base import Engine
from kimi_demo.services.languages import DETECT
from kimi_demo.services.subtitles import FORMATS, facts
from kimi_demo.services.transcribing import heard_languages, transcribe, transcript_of
from kimi_demo.ui.examples import sounds
from kimi_demo.ui.failures import readable, toast
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.listening import QUIET, Actions, heard, sound_input
from kimi_demo.ui.speech import ANNOUNCE, ENGINE_QUEUE, Updates, Words, language_choices
from kimi_demo.ui.transcript_view import Shown, TranscriptView

# Run by the browser when the tab is first shown.
ANNOUNCE_TRANSCRIPT = """
const untilThere = setInterval(() => {
  const box = document.querySelector("#transcript textarea");
  if (!box) return;
  box.setAttribute("aria-live", "polite");
  clearInterval(untilThere);
}, 200);
"""


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
        self._connect_api()

    def _build_inputs(self) -> None:
        self.audio = sound_input("transcribe-audio")
        self.language = gr.Radio(
            language_choices(heard_languages(self._engine.capabilities.tasks)),
            value=DETECT,
            label=tr("language"),
            elem_id="transcribe-language",
        )
        self.actions = Actions("transcribe", tr("transcribe"))
        found = sounds()
        if found:
            gr.Examples([[path] for path in found], [self.audio], label=tr("examples"))
        gr.HTML(tr("transcribe_note"), elem_classes="note")

    def _build_outputs(self) -> None:
        self.transcript = gr.Textbox(
            label=tr("transcript"),
            placeholder=tr("transcript_placeholder"),
            lines=6,
            max_lines=20,
            interactive=False,
            buttons=["copy"],
            elem_id="transcript",
        )
        self.report = gr.HTML(js_on_load=ANNOUNCE, elem_id="transcribe-report")
        with gr.Row(elem_classes="downloads"):
            self.downloads = {
                name: gr.DownloadButton(
                    name.upper(),
                    size="sm",
                    interactive=False,
                    min_width=60,
                    elem_id=f"transcribe-{name}",
                )
                for name in FORMATS
            }
        self.segments = gr.HTML(
            js_on_load=ANNOUNCE_TRANSCRIPT, elem_id="transcribe-segments", elem_classes="flush"
        )
        self.under_way = gr.State(None)  # the visitor's TranscriptView: Stop keeps what it has

    def _connect(self) -> None:
        results = [self.transcript, self.segments, self.report, *self.downloads.values()]
        state = [self.actions.start, self.actions.stop, self.under_way]
        running = gr.on(
            [self.actions.start.click, self.audio.stop_recording],
            self._run,
            inputs=[self.audio, self.language],
            outputs=[*results, *state],
            show_progress="minimal",
            show_progress_on=self.report,
            api_visibility="private",
            **ENGINE_QUEUE,
        )
        self.actions.stop.click(
            self._stopped,
            inputs=self.under_way,
            outputs=[*results, *state],
            cancels=[running],
            **QUIET,
        )
        self.actions.clear.click(
            self._cleared,
            outputs=[self.audio, *results, *state],
            cancels=[running],
            **QUIET,
        )

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
            **ENGINE_QUEUE,
        )

    def transcribe(self, audio: str, language: str) -> tuple[str, dict[str, object]]:
        """Writes down what is said in a recording of up to an hour, and when each part was said.

        Returns the text, then a JSON object with language, duration and the segments' times.

        Args:
            audio: A wav, flac, ogg, opus, mp3, m4a, mp4 or webm file.
            language: "detect", or one that the model can be told beforehand: "en" or "zh".
        """
        english = self._words["en"]
        try:
            sound = heard(audio, english)
            transcript, _ = transcript_of(transcribe(self._engine, sound, language))
        except Exception as exc:
            raise readable(exc, english) from exc
        return transcript.text, {"audio_s": round(sound.duration_s, 3), **facts(transcript)}

    def _run(self, path: str | None, language: str, visitor: gr.Request) -> Iterator[Updates]:
        """One run of the page; closing it closes the engine's."""
        words = words_for(self._words, visitor)
        view, failure = None, None
        try:
            sound = heard(path, words)
            view = TranscriptView(Path(path or "").stem, sound.duration_s, words)
            yield self._updates(view.started(), view) | self._busy(view)
            with closing(transcribe(self._engine, sound, language)) as events:
                for event in events:
                    for shown in view.shown(event):
                        yield self._updates(shown, view)
        except Exception as exc:
            failure = toast(exc, words)
            if view:
                yield self._updates(view.stopped(), view)
        yield self._idle()
        if failure:
            raise failure

    def _stopped(self, view: TranscriptView | None) -> Updates:
        """What was written down so far can be downloaded like a whole transcript."""
        shown = self._updates(view.stopped(), view) if view else {}
        return shown | self._idle()

    def _cleared(self) -> Updates:
        emptied = Shown(text="", segments="", report="", files={})
        return self._updates(emptied, None) | self._idle() | {self.audio: None}

    def _updates(self, shown: Shown, view: TranscriptView | None) -> Updates:
        updates: Updates = {}
        if shown.text is not None:
            updates[self.transcript] = shown.text
        if shown.segments is not None:
            updates[self.segments] = shown.segments
        if shown.report is not None:
            updates[self.report] = shown.report
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

    def _busy(self, view: TranscriptView) -> Updates:
        return self.actions.busy() | {self.under_way: view}

    def _idle(self) -> Updates:
        return self.actions.idle() | {self.under_way: None}
