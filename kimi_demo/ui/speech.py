"""The tab that speaks, and its endpoint `/speak`."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.i18n import I18nData
from gradio.processing_utils import save_bytes_to_cache

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.events import collect
from kimi_demo.messages import Sampling
from kimi_demo.services.languages import DETECT
from kimi_demo.services.reading import read_aloud
from kimi_demo.ui.examples import sentences
from kimi_demo.ui.failures import readable, toast
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.player import begin_js, live_player, stop_js
from kimi_demo.ui.speech_view import SpeechView
from kimi_demo.ui.view import Shown, answer_facts, file_name

Updates = dict[Component, Any]
Words = Mapping[str, dict[str, str]]
PLAYER = "speech"
MAX_SEED = 2**31 - 1
LANGUAGE_NAMES = {"en": "English", "zh": "中文"}
# Run by the browser: what the report says, progress first, is read out as it changes.
ANNOUNCE = "element.setAttribute('aria-live', 'polite');"
ENGINE_QUEUE: dict[str, Any] = {"concurrency_id": "engine", "concurrency_limit": 1}


def chosen_sampling(
    engine: Engine, seed: float, temperature: float, top_k: float
) -> tuple[Sampling, int]:
    """Sampling and seed for these choices.

    Raises: InputError for a choice out of its range.
    """
    sampling = engine.capabilities.tasks.speech_sampling
    try:
        audio = dataclasses.replace(sampling.audio, temperature=temperature, top_k=int(top_k))
    except (TypeError, ValueError) as exc:
        raise InputError(f"these voice settings are not possible: {exc}") from exc
    if seed is None or not 0 <= seed <= MAX_SEED:
        raise InputError(f"the seed must be a whole number from 0 to {MAX_SEED}")
    return dataclasses.replace(sampling, audio=audio), int(seed)


def language_choices(codes: Iterable[str]) -> list[tuple[I18nData | str, str]]:
    """For a radio: Detect, then each language by its own name."""
    return [(tr("language_auto"), DETECT), *((LANGUAGE_NAMES.get(c, c), c) for c in codes)]


class SpeechTab:
    """Builds the tab inside the current Blocks context and connects it to the engine."""

    def __init__(self, engine: Engine, words: Words) -> None:
        self._engine = engine
        self._words = words
        self._defaults = engine.capabilities.tasks.speech_sampling.audio
        with gr.Row(elem_classes="task"):
            with gr.Column(scale=5, min_width=300):
                self._build_inputs()
            with gr.Column(scale=6, min_width=300):
                self._build_outputs()
        self._connect()
        self._connect_api()

    def _build_inputs(self) -> None:
        self.text = gr.Textbox(
            label=tr("text"),
            placeholder=tr("text_placeholder"),
            lines=1,  # with one line Enter submits; the style sheet makes it taller
            max_lines=12,
            elem_id="speech-text",
            autofocus=True,
        )
        gr.HTML(tr("speech_limit"), elem_classes="note")
        self.language = gr.Radio(
            language_choices(self._engine.capabilities.languages),
            value=DETECT,
            label=tr("language"),
            elem_id="speech-language",
        )
        with gr.Row(elem_classes="actions"):
            self.generate = gr.Button(
                tr("generate"), variant="primary", scale=2, min_width=120, elem_id="speech-generate"
            )
            self.stop = gr.Button(
                tr("stop"), interactive=False, min_width=90, elem_id="speech-stop"
            )
        found = sentences(self._engine.capabilities.languages)
        if found:
            gr.Examples([[text] for text in found], [self.text], label=tr("examples"))
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
        gr.HTML(tr("ai_note"), elem_classes="note")
        self.under_way = gr.State(None)  # the visitor's SpeechView: Stop keeps what it has

    def _connect(self) -> None:
        running = gr.on(
            [self.generate.click, self.text.submit],
            self._run,
            inputs=[
                self.text,
                self.language,
                self.seed,
                self.random_seed,
                self.temperature,
                self.top_k,
            ],
            outputs=[
                self.player,
                self.report,
                self.recording,
                self.seed,
                self.generate,
                self.stop,
                self.under_way,
            ],
            js=begin_js(PLAYER),
            show_progress="minimal",
            show_progress_on=self.report,
            api_visibility="private",
            **ENGINE_QUEUE,
        )
        self.stop.click(
            self._stopped,
            inputs=self.under_way,
            outputs=[self.report, self.recording, self.generate, self.stop, self.under_way],
            js=stop_js(PLAYER),
            cancels=[running],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        self.reset.click(
            lambda: (0, False, self._defaults.temperature, self._defaults.top_k),
            outputs=[self.seed, self.random_seed, self.temperature, self.top_k],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
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
            **ENGINE_QUEUE,
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
        try:
            sampling, chosen = chosen_sampling(self._engine, seed, temperature, top_k)
            with closing(read_aloud(self._engine, text, sampling, chosen, language)) as events:
                answer = collect(events)
        except Exception as exc:
            raise readable(exc, self._words["en"]) from exc
        spoken = Audio(answer.waveform, answer.sample_rate or self._engine.capabilities.sample_rate)
        return str(self._saved(spoken, text)), answer_facts(answer, chosen)

    def _run(
        self,
        text: str,
        language: str,
        seed: float,
        random_seed: bool,
        temperature: float,
        top_k: float,
        visitor: gr.Request,
    ) -> Iterator[Updates]:
        """One run of the page; closing it (Stop, or a visitor who leaves) closes the engine's."""
        words = words_for(self._words, visitor)
        view, failure = None, None
        try:
            drawn = secrets.randbelow(MAX_SEED) if random_seed else seed
            sampling, chosen = chosen_sampling(self._engine, drawn, temperature, top_k)
            with closing(read_aloud(self._engine, text, sampling, chosen, language)) as events:
                rate = self._engine.capabilities.sample_rate
                view = SpeechView(secrets.token_hex(4), text, chosen, rate, words)
                yield self._updates(view.started(), text) | self._busy(view, chosen)
                for event in events:
                    for shown in view.shown(event):
                        yield self._updates(shown, text)
        except Exception as exc:
            failure = toast(exc, words)
            if view:
                yield self._updates(view.stopped(), text)
        yield self._idle()
        if failure:
            raise failure

    def _stopped(self, view: SpeechView | None) -> Updates:
        """The engine is silent already; what it said becomes the recording."""
        shown = self._updates(view.stopped(), view.text) if view else {}
        return shown | self._idle()

    def _updates(self, shown: Shown, text: str) -> Updates:
        updates: Updates = {}
        if shown.player is not None:
            updates[self.player] = shown.player
        if shown.report is not None:
            updates[self.report] = shown.report
        if shown.recording is not None:
            updates[self.recording] = self._saved(shown.recording, text)
        return updates

    def _saved(self, audio: Audio, text: str) -> Path:
        """A WAV file in Gradio's cache, which the server empties by itself."""
        return Path(save_bytes_to_cache(audio.wav(), file_name(text), self.recording.GRADIO_CACHE))

    def _busy(self, view: SpeechView, seed: int) -> Updates:
        return {
            self.generate: gr.Button(interactive=False),
            self.stop: gr.Button(interactive=True),
            self.seed: seed,
            self.under_way: view,
        }

    def _idle(self) -> Updates:
        return {
            self.generate: gr.Button(interactive=True),
            self.stop: gr.Button(interactive=False),
            self.under_way: None,
        }
