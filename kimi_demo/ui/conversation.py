"""The tab that holds a conversation, and its endpoint `/chat`.

A visitor's conversation lies in two `gr.State`s: the settled turns, a value, and the newest reply,
which one event shows and every other may interrupt. Only events that the visitor
causes write them, so nothing that arrives late can bring an old answer back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency
from gradio.processing_utils import save_bytes_to_cache

from kimi_demo.audio import Audio
from kimi_demo.conversation import ChatTurn, Conversation, export
from kimi_demo.engine.base import Engine
from kimi_demo.engine.tasks import check
from kimi_demo.errors import InputError
from kimi_demo.messages import OutputType
from kimi_demo.ui.conversation_api import ChatEndpoint
from kimi_demo.ui.conversation_layout import PLAYER, ConversationLayout
from kimi_demo.ui.conversation_view import (
    Bubble,
    ReplyView,
    bubbles,
    question,
    question_bubble,
    turn_bubbles,
)
from kimi_demo.ui.failures import toast
from kimi_demo.ui.hands_free import HandsFree
from kimi_demo.ui.i18n import words_for
from kimi_demo.ui.player import PlayerFeed, begin_js, stop_js
from kimi_demo.ui.reply import Reply, settled
from kimi_demo.ui.sampling import MAX_SEED, checked_seed
from kimi_demo.ui.tab import ALWAYS, QUIET, Updates, Words, changed
from kimi_demo.ui.talk import Mint, drop_js
from kimi_demo.ui.view import Shown

# From an input's value to the typed question, or else the file of the spoken one.
Pick = Callable[[Any], tuple[str | None, str | None]]
ARCHIVE = "conversation.zip"
# The link exists as soon as the browser has drawn it.
DOWNLOAD_JS = """(file) => {
  if (file) requestAnimationFrame(() => setTimeout(() =>
    document.querySelector("#conversation-download").click(), 100));
  return [];
}"""


def taken_back(
    conversation: Conversation, reply: Reply | None
) -> tuple[ChatTurn | None, Conversation]:
    """The newest turn, whose reply is interrupted, and the conversation without it."""
    if reply:
        reply.interrupt()
        return reply.turn(), conversation
    return next(reversed(conversation.turns), None), conversation.without_last()


class ConversationTab(ConversationLayout):
    """The tab inside the current Blocks context, connected to the engine.

    mint: of keys for hands-free conversation, if that is offered.
    """

    def __init__(self, engine: Engine, words: Words, mint: Mint | None = None) -> None:
        super().__init__(engine, words, hands_free=mint is not None)
        self._engine = engine
        self._words = words
        if mint:
            self.hands_free = HandsFree(self, engine.capabilities, words, mint, self._saved)
        self._connect()
        self._connect_api()

    def _connect(self) -> None:
        mine = [self.conversation, self.reply]
        running = [
            self._connect_question([self.send.click, self.text.submit], self._ask, self.text,
                                   self.microphone),
            self._connect_question([self.microphone.stop_recording],
                                   self._asker(lambda path: (None, path)), self.microphone),
            self._connect_question([self.typed_examples.click],
                                   self._asker(lambda index: (self.questions[index], None)),
                                   self.typed_examples),
            self._connect_question([self.spoken_examples.click],
                                   self._asker(lambda index: (None, self.clips[index])),
                                   self.spoken_examples),
            self._connect_question([self.retry.click], self._ask_again),
        ]  # fmt: skip
        silencing: dict[str, Any] = {"js": stop_js(PLAYER), "cancels": running, **QUIET}
        shown = [*mine, self.chat, self.text, self.report, self.stop]
        self.stop.click(self._stopped, mine, [self.chat, self.stop], **silencing)
        self.undo.click(self._undone, mine, shown, **silencing)
        forgetting = {**silencing, "js": drop_js(PLAYER)}
        gr.on([self.clear.click, self.chat.clear], self._cleared, mine, shown, **forgetting)
        self.export.click(self._export, mine, self.download, **ALWAYS).then(
            None, self.download, js=DOWNLOAD_JS, **QUIET
        )

    def _connect_question(
        self, triggers: list[Any], ask: Callable[..., Updates], *own: Component
    ) -> Dependency:
        """First the question, at once; then the answer, in line."""
        mine = [self.conversation, self.reply]
        asked = gr.on(
            triggers,
            ask,
            inputs=[*own, *mine, self.output, self.seed],
            outputs=[*mine, self.chat, self.text, self.microphone, self.seed, self.player],
            js=begin_js(PLAYER),
            trigger_mode="multiple",
            **ALWAYS,
        )
        return asked.success(
            self._answer,
            inputs=mine,
            outputs=[self.player, self.chat, self.report, self.stop],
            show_progress="minimal",
            show_progress_on=self.report,
            trigger_mode="multiple",
            api_visibility="private",
        )

    def _connect_api(self) -> None:
        endpoint = ChatEndpoint(self._engine, self._words["en"], self._saved)
        with gr.Row(visible=False):
            history = gr.JSON(label="history", value=[])
            # Gradio's own {"type": {}} is no JSON schema: clients of MCP refuse the tool for it.
            history.api_info = lambda: {"type": "array", "items": {"type": "object"}}
            wav = gr.Audio(label="wav", interactive=False)
            facts = gr.JSON(label="facts")
        gr.on(
            [],
            endpoint.chat,
            inputs=[self.text, self.microphone, history, self.output, self.seed],
            outputs=[wav, facts],
            api_name="chat",
        )

    def _ask(
        self,
        text: str | None,
        path: str | None,
        conversation: Conversation,
        reply: Reply | None,
        output: OutputType,
        seed: float | None,
        visitor: gr.Request,
    ) -> Updates:
        words = words_for(self._words, visitor)
        if reply:
            reply.interrupt()
        conversation = settled(conversation, reply)
        try:
            limit_s = self._engine.capabilities.tasks.max_audio_s
            asked = question(text, path, limit_s, words)
            return self._asked(asked, conversation, output, seed, words) | self._emptied(asked)
        except Exception as exc:
            return self._refused(exc, conversation, words)

    def _asker(self, pick: Pick) -> Callable[..., Updates]:
        """`_ask` with text and file taken from another input."""

        def ask(
            own: Any,
            conversation: Conversation,
            reply: Reply | None,
            output: OutputType,
            seed: float | None,
            visitor: gr.Request,
        ) -> Updates:
            return self._ask(*pick(own), conversation, reply, output, seed, visitor)

        return ask

    def _ask_again(
        self,
        conversation: Conversation,
        reply: Reply | None,
        output: OutputType,
        _: float | None,
        visitor: gr.Request,
    ) -> Updates:
        """The last question once more, with a new seed; its first answer is forgotten."""
        words = words_for(self._words, visitor)
        last, conversation = taken_back(conversation, reply)
        try:
            if last is None:
                raise InputError(words["conversation_nothing"])
            seed = secrets.randbelow(MAX_SEED)
            return self._asked(last.asked, conversation, output, seed, words) | {self.seed: seed}
        except Exception as exc:
            return self._refused(exc, conversation, words)

    def _asked(
        self,
        asked: str | Audio,
        conversation: Conversation,
        output: OutputType,
        seed: float | None,
        words: Mapping[str, str],
    ) -> Updates:
        intent = conversation.intent(asked, checked_seed(seed), output)
        check(intent, self._engine.capabilities)
        shown = bubbles(conversation.turns, self._saved, words)
        return {
            self.conversation: conversation,
            self.reply: Reply(asked, intent),
            self.chat: [*shown, question_bubble(asked, self._saved, words)],
        }

    def _emptied(self, asked: str | Audio) -> Updates:
        return {self.text: ""} if isinstance(asked, str) else {self.microphone: None}

    def _refused(
        self, exc: Exception, conversation: Conversation, words: Mapping[str, str]
    ) -> Updates:
        """Nothing is asked; the player has been told to wait and may rest again."""
        failure = toast(exc, words)
        if failure:
            raise failure
        return {
            self.conversation: conversation,
            self.reply: None,
            self.chat: bubbles(conversation.turns, self._saved, words),
            self.player: PlayerFeed(secrets.token_hex(4), 1).ended(),
        }

    def _answer(
        self, conversation: Conversation, reply: Reply | None, visitor: gr.Request
    ) -> Iterator[Updates]:
        """Streams the reply; ends when it is interrupted, and closing it closes the engine's."""
        if reply is None or reply.interrupted:
            return
        words = words_for(self._words, visitor)
        before = bubbles(conversation.turns, self._saved, words)
        asked = question_bubble(reply.asked, self._saved, words)
        view = ReplyView(reply, asked, self._engine.capabilities.sample_rate, words)
        failure = None
        yield self._updates(view.started(), before, view) | {self.stop: gr.Button(interactive=True)}
        try:
            with closing(reply.events(self._engine)) as events:
                for event in events:
                    for shown in view.shown(event):
                        yield self._updates(shown, before, view)
        except Exception as exc:
            failure = toast(exc, words)
            yield {self.player: view.ended()}
        if reply.interrupted:
            return
        yield self._finished(conversation, reply, words)
        if failure:
            raise failure
        if reply.turn().is_unanswered:
            gr.Warning(words["conversation_silent"])

    def _updates(self, shown: Shown, before: list[Bubble], view: ReplyView) -> Updates:
        is_as_before = shown.text is None and shown.heard is None
        grown = None if is_as_before else [*before, *view.bubbles()]
        return changed({self.player: shown.player, self.report: shown.report, self.chat: grown})

    def _finished(
        self, conversation: Conversation, reply: Reply, words: Mapping[str, str]
    ) -> Updates:
        shown = bubbles(conversation.turns, self._saved, words)
        shown += turn_bubbles(reply.turn(), self._saved, words)
        return {self.chat: shown, self.stop: gr.Button(interactive=False)}

    def _stopped(
        self, conversation: Conversation, reply: Reply | None, visitor: gr.Request
    ) -> Updates:
        """What was said so far stays, as a turn like any other."""
        if reply is None:
            return {self.stop: gr.Button(interactive=False)}
        reply.interrupt()
        return self._finished(conversation, reply, words_for(self._words, visitor))

    def _undone(
        self, conversation: Conversation, reply: Reply | None, visitor: gr.Request
    ) -> Updates:
        """Takes the newest turn back; a typed question returns to the box, to be changed."""
        last, conversation = taken_back(conversation, reply)
        words = words_for(self._words, visitor)
        updates = self._emptied_page() | {
            self.conversation: conversation,
            self.chat: bubbles(conversation.turns, self._saved, words),
        }
        if last and isinstance(last.asked, str):
            updates[self.text] = last.asked
        return updates

    def _cleared(self, conversation: Conversation, reply: Reply | None) -> Updates:
        if reply:
            reply.interrupt()
        return self._emptied_page() | {self.conversation: Conversation(), self.chat: []}

    def _emptied_page(self) -> Updates:
        return {self.reply: None, self.report: "", self.stop: gr.Button(interactive=False)}

    def _export(
        self, conversation: Conversation, reply: Reply | None, visitor: gr.Request
    ) -> str | None:
        conversation = settled(conversation, reply)
        if not conversation.turns:
            gr.Warning(words_for(self._words, visitor)["conversation_no_turns"])
            return None
        capabilities = self._engine.capabilities
        archive = export(conversation, capabilities.model, capabilities.label)
        return save_bytes_to_cache(archive, ARCHIVE, self.download.GRADIO_CACHE)

    def _saved(self, sound: Audio, name: str) -> str:
        """A WAV file in Gradio's cache, which the server empties by itself."""
        return save_bytes_to_cache(sound.wav(), name, self.chat.GRADIO_CACHE)
