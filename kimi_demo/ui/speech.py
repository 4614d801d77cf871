"""The tab that speaks, and its endpoint `/speak`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from kimi_demo.audio import Audio
from kimi_demo.events import collect
from kimi_demo.intents import ListenBack, Speak
from kimi_demo.messages import StreamSampling
from kimi_demo.text.languages import DETECT
from kimi_demo.ui.examples import sentences
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.player import begin_js, live_player, player_update, stop_js
from kimi_demo.ui.said import said_note
from kimi_demo.ui.sampling import MAX_SEED, checked_seed, chosen_sampling
from kimi_demo.ui.speech_view import SpeechView
from kimi_demo.ui.tab import (
    QUIET,
    Actions,
    TaskTab,
    Updates,
    aside,
    changed,
    language_choices,
    readable_errors,
)
from kimi_demo.ui.view import Shown, answer_facts, file_name

PLAYER = "speech"
# Run by the browser: what the report says, progress first, is read out as it changes.
ANNOUNCE = "element.setAttribute('aria-live', 'polite');"


class SpeechTab(TaskTab):
    """A text on the left; its live sound, and then its recording, on the right."""

    @property
    def _defaults(self) -> StreamSampling:
        return self._engine.capabilities.tasks.speech_sampling.audio

    def _build_inputs(self) -> None:
        self.text = gr.Textbox(
            label=tr("text"),
            placeholder=tr("text_placeholder"),
            lines=1,  # with one line Enter submits; the style sheet makes it taller
            max_lines=12,
            elem_id="speech-text",
            autofocus=True,
        )
        self.said = gr.HTML(elem_id="speech-said", elem_classes="flush")
        gr.HTML(tr("speech_limit"), elem_classes="note")
        self.language = gr.Radio(
            language_choices(self._engine.capabilities.languages),
            value=DETECT,
            label=tr("language"),
            elem_id="speech-language",
        )
        self.listen_back = gr.Checkbox(
            False,
            label=tr("listen_back"),
            info=tr("listen_back_info"),
            elem_id="speech-listen-back",
        )
        self.actions = Actions(PLAYER, tr("generate"), clear=False)
        with aside():
            found = sentences(self._engine.capabilities.languages)
            if found:
                gr.Examples(
                    [[text] for text in found],
                    [self.text],
                    label=tr("examples"),
                    examples_per_page=len(found),
                )
            with gr.Accordion(tr("sampling"), open=False):
                self._build_sampling()

    def _build_sampling(self) -> None:
        with gr.Row():
            self.seed = gr.Number(
                0, label=tr("seed"), info=tr("seed_info"), precision=0, elem_id="speech-seed"
            )
            self.random_seed = gr.Checkbox(False, label=tr("random_seed"), min_width=160)
        self.temperature = gr.Slider(
            0.0,
            1.5,
            self._defaults.temperature,
            step=0.05,
            label=tr("temperature"),
            info=tr("temperature_info"),
        )
        self.top_k = gr.Slider(
            0, 100, self._defaults.top_k, step=1, label=tr("top_k"), info=tr("top_k_info")
        )
        self.reset = gr.Button(tr("reset"), size="sm", elem_id="speech-reset")

    def _build_outputs(self) -> None:
        self.player = live_player(PLAYER, self._engine.capabilities.sample_rate, self._words)
        self.report = gr.HTML(js_on_load=ANNOUNCE, elem_id="speech-report")
        self.recording = gr.Audio(
            label=tr("recording"),
            interactive=False,
            buttons=["download"],
            elem_id="speech-recording",
        )
        self.heard = gr.HTML(js_on_load=ANNOUNCE, elem_id="speech-heard", elem_classes="flush")
        gr.HTML(tr("ai_note"), elem_classes="note")
        self.under_way = gr.State(None)  # the visitor's SpeechView: Stop keeps what it has

    def _connect(self) -> None:
        sampling = [self.temperature, self.top_k]
        result = [self.report, self.recording, self.heard, self.under_way]
        running = self._on_start(
            [self.actions.start.click, self.text.submit],
            self._run,
            [self.text, self.language, self.listen_back, self.seed, self.random_seed, *sampling],
            [self.player, self.seed, *result],
            js=begin_js(PLAYER),
        )
        silence = stop_js(PLAYER)
        self._on_end(self.actions.stop, running, self._stopped, [self.under_way], result, silence)
        if self._engine.capabilities.tasks.text_normalizer != "none":
            gr.on(
                [self.text.change, self.language.change],
                self._will_say,
                [self.text, self.language],
                self.said,
                trigger_mode="always_last",
                **QUIET,
            )
        self.reset.click(
            lambda: (0, False, self._defaults.temperature, self._defaults.top_k),
            None,
            [self.seed, self.random_seed, *sampling],
            **QUIET,
        )

    def _connect_api(self) -> None:
        with gr.Row(visible=False):
            wav = gr.Audio(label="wav", interactive=False)
            info = gr.JSON(label="info")
            language = gr.Textbox(DETECT, label="language")
        gr.on(
            [],
            self.speak,
            inputs=[self.text, self.seed, self.temperature, self.top_k, language],
            outputs=[wav, info],
            api_name="speak",
        )

    def speak(
        self,
        text: str,
        seed: int,
        temperature: float,
        top_k: int,
        language: str,
    ) -> tuple[str, dict[str, object]]:
        """Reads text aloud, sentence by sentence, and returns the complete 24 kHz WAV with its
        figures.

        Args:
            text: What to say, up to 5,000 characters.
            seed: The same seed and text give the same speech.
            temperature: Of the sounds; 0 always takes the likeliest.
            top_k: How many sounds are considered at each step; 0 considers all.
            language: Of the text: "detect", "en" or "zh", as far as the model speaks it.
        """
        with readable_errors(self._words["en"]):
            sampling = chosen_sampling(self._engine, temperature, top_k)
            chosen = checked_seed(seed)
            intent = Speak(text, language, sampling=sampling, seed=chosen)
            answer = collect(self._engine.stream(intent))
        spoken = Audio(answer.waveform, answer.sample_rate or self._engine.capabilities.sample_rate)
        return str(self._saved(spoken, text)), answer_facts(answer, chosen)

    def _will_say(self, text: str, language: str, visitor: gr.Request) -> str:
        tasks = self._engine.capabilities.tasks
        return said_note(tasks, text, language, words_for(self._words, visitor))

    def _run(
        self,
        text: str,
        language: str,
        listens_back: bool,
        seed: float,
        random_seed: bool,
        temperature: float,
        top_k: float,
        visitor: gr.Request,
    ) -> Iterator[Updates]:
        words = words_for(self._words, visitor)
        drawn = secrets.randbelow(MAX_SEED) if random_seed else seed
        updates = self._spoken(text, language, listens_back, drawn, temperature, top_k, words)
        yield from self._tidied(updates, words)

    def _spoken(
        self,
        text: str,
        language: str,
        listens_back: bool,
        seed: float,
        temperature: float,
        top_k: float,
        words: Mapping[str, str],
    ) -> Iterator[Updates]:
        sampling = chosen_sampling(self._engine, temperature, top_k)
        chosen = checked_seed(seed)
        intent = Speak(text, language, sampling=sampling, seed=chosen)
        with closing(self._engine.stream(intent)) as events:
            rate = self._engine.capabilities.sample_rate
            view = SpeechView(secrets.token_hex(4), text, chosen, rate, words)
            begun = self._updates(view.started(), text) | self.actions.busy()
            yield begun | {self.seed: chosen, self.under_way: view}
            try:
                for event in events:
                    for shown in view.shown(event):
                        yield self._updates(shown, text)
            except Exception:
                yield self._updates(view.stopped(), text)
                raise
        if listens_back:
            yield from self._listened_back(view)

    def _listened_back(self, view: SpeechView) -> Iterator[Updates]:
        yield self._updates(view.listening(), view.text)
        with closing(self._engine.stream(ListenBack(tuple(view.said)))) as events:
            try:
                for event in events:
                    for shown in view.heard(event):
                        yield self._updates(shown, view.text)
            except Exception:
                yield self._updates(view.stopped(), view.text)
                raise

    def _stopped(self, view: SpeechView | None) -> Updates:
        """The engine is silent already; what it said becomes the recording."""
        shown = self._updates(view.stopped(), view.text) if view else {}
        return shown | self._idle()

    def _updates(self, shown: Shown, text: str) -> Updates:
        recording = self._saved(shown.recording, text) if shown.recording else None
        return changed(
            {
                self.player: player_update(shown.player, shown.caption),
                self.report: shown.report,
                self.recording: recording,
                self.heard: shown.heard,
            }
        )

    def _saved(self, audio: Audio, text: str) -> Path:
        """A WAV file in Gradio's cache, which the server empties by itself."""
        return Path(save_bytes_to_cache(audio.wav(), file_name(text), self.recording.GRADIO_CACHE))

    def _idle(self) -> Updates:
        return super()._idle() | {self.under_way: None}
