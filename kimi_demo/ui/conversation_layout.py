"""What stands in the conversation tab, and where."""

from __future__ import annotations

import gradio as gr

from kimi_demo.conversation import Conversation
from kimi_demo.engine.base import Engine
from kimi_demo.ui.examples import questions, sounds, worded
from kimi_demo.ui.i18n import tr
from kimi_demo.ui.listening import sound_input
from kimi_demo.ui.player import live_player
from kimi_demo.ui.tab import Words
from kimi_demo.ui.talk import live_talk

PLAYER = "conversation"


class ConversationLayout:
    """Builds the tab's components inside the current Blocks context.

    conversation: the settled turns, a value. reply: the newest one, a `Reply` or None. hands_free:
    whether there is a realtime API to talk with.
    """

    def __init__(self, engine: Engine, words: Words, hands_free: bool) -> None:
        capabilities = engine.capabilities
        self.outputs = capabilities.tasks.reply_outputs
        self.questions = questions(capabilities.languages)
        self.clips = sounds("question")
        self.conversation = gr.State(Conversation())
        self.reply = gr.State(None)
        with gr.Row(elem_classes="task"):
            with gr.Column(scale=6, min_width=300):
                self._build_chat()
                self.talk = live_talk(PLAYER, hands_free, words)
                self._build_question()
            with gr.Column(scale=5, min_width=300):
                self.player = live_player(PLAYER, capabilities.sample_rate, words)
                self.report = gr.HTML(elem_id="conversation-report", elem_classes="flush")
                self._build_choices()

    def _build_chat(self) -> None:
        self.chat = gr.Chatbot(
            label=tr("conversation_chat"),
            placeholder=tr("conversation_empty"),  # pyright: ignore[reportArgumentType]  # it works
            height=440,
            buttons=["copy"],
            render_markdown=False,
            feedback_options=None,
            elem_id="conversation-chat",
        )

    def _build_question(self) -> None:
        with gr.Row(elem_classes="actions", elem_id="conversation-ask"):
            self.text = gr.Textbox(
                label=tr("conversation_text"),
                placeholder=tr("conversation_text_placeholder"),
                lines=1,  # with one line Enter sends
                max_lines=5,
                scale=4,
                min_width=180,
                elem_id="conversation-text",
            )
            self.send = gr.Button(
                tr("conversation_send"),
                variant="primary",
                min_width=80,
                elem_id="conversation-send",
            )
            self.stop = gr.Button(
                tr("stop"),
                interactive=False,
                min_width=80,
                elem_id="conversation-stop",
                elem_classes="stop",
            )
        self.microphone = sound_input("conversation-microphone")
        self.microphone.label = tr("conversation_microphone")
        with gr.Row(elem_classes="actions", elem_id="conversation-turns"):
            self.retry = self._small_button("conversation_retry", "retry")
            self.undo = self._small_button("conversation_undo", "undo")
            self.clear = self._small_button("clear", "clear")
            self.export = self._small_button("conversation_export", "export")
            self.download = gr.DownloadButton(visible="hidden", elem_id="conversation-download")

    @staticmethod
    def _small_button(key: str, name: str) -> gr.Button:
        return gr.Button(tr(key), size="sm", min_width=70, elem_id=f"conversation-{name}")

    def _build_choices(self) -> None:
        self.output = gr.Radio(
            [(tr(f"conversation_output_{output}"), output) for output in self.outputs],
            value=self.outputs[0],
            label=tr("conversation_output"),
            visible=len(self.outputs) > 1,
            elem_id="conversation-output",
        )
        self.typed_examples = self._examples(self.questions, "typed")
        self.spoken_examples = self._examples([worded(clip) for clip in self.clips], "spoken")
        with gr.Accordion(tr("conversation_settings"), open=False):
            self.seed = gr.Number(
                0,
                label=tr("seed"),
                info=tr("conversation_seed_info"),
                precision=0,
                elem_id="conversation-seed",
            )
        gr.HTML(tr("conversation_memory"), elem_classes="note")

    def _examples(self, labels: list[str], kind: str) -> gr.Dataset:
        return gr.Dataset(
            label=tr(f"conversation_{kind}_examples"),
            components=[gr.Textbox(visible=False)],
            samples=[[label] for label in labels],
            samples_per_page=max(1, len(labels)),
            type="index",
            visible=bool(labels),
            elem_id=f"conversation-{kind}-examples",
        )
