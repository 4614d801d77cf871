"""What the page's server does for a hands-free conversation; the talking is between the browser and
the realtime API.
"""

from __future__ import annotations

import gradio as gr

from kimi_demo.conversation import Conversation
from kimi_demo.engine.base import Capabilities
from kimi_demo.ui.conversation_layout import ConversationLayout
from kimi_demo.ui.conversation_view import Save, bubbles
from kimi_demo.ui.i18n import words_for
from kimi_demo.ui.reply import Reply, settled
from kimi_demo.ui.tab import ALWAYS, Updates, Words
from kimi_demo.ui.talk import Mint, opened, taken, told_turn


class HandsFree:
    """Connects the tab's live component. save: a sound, for a bubble of the chat."""

    def __init__(
        self,
        tab: ConversationLayout,
        capabilities: Capabilities,
        words: Words,
        mint: Mint,
        save: Save,
    ) -> None:
        self._tab = tab
        self._capabilities = capabilities
        self._words = words
        self._mint = mint
        self._save = save
        mine = [tab.conversation, tab.reply]
        shown = [*mine, tab.chat, tab.talk, tab.stop]
        tab.talk.open_talk(self._opened, mine, shown, trigger_mode="multiple", **ALWAYS)
        tab.talk.tell_turn(self._told, mine, shown, trigger_mode="multiple", **ALWAYS)

    def _opened(
        self,
        conversation: Conversation,
        reply: Reply | None,
        wish: gr.EventData,
        visitor: gr.Request,
    ) -> Updates:
        """A key, and what was said so far; an answer in work is interrupted."""
        if reply:
            reply.interrupt()
        conversation = settled(conversation, reply)
        key = self._mint(visitor.username or "")
        value = opened(wish.attempt, key, conversation, self._capabilities)
        return self._shown(conversation, visitor) | {self._tab.talk: value}

    def _told(
        self,
        conversation: Conversation,
        reply: Reply | None,
        told: gr.EventData,
        visitor: gr.Request,
    ) -> Updates:
        """A turn that is over."""
        conversation = settled(conversation, reply).with_turn(told_turn(told.turn))
        return self._shown(conversation, visitor) | {self._tab.talk: taken(told.number)}

    def _shown(self, conversation: Conversation, visitor: gr.Request) -> Updates:
        tab, words = self._tab, words_for(self._words, visitor)
        return {
            tab.conversation: conversation,
            tab.reply: None,
            tab.chat: bubbles(conversation.turns, self._save, words),
            tab.stop: gr.Button(interactive=False),
        }
