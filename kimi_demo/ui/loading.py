"""A line above the tabs while the model is loaded, or that it could not be, with another try."""

from __future__ import annotations

import html

import gradio as gr

from kimi_demo.engine.base import Engine
from kimi_demo.ui.i18n import tr, words_for
from kimi_demo.ui.tab import QUIET, Updates, Words

LOOK_EVERY_S = 1.0


class LoadingNote:
    """Looks again and again until the engine is ready; pages opened later show nothing."""

    def __init__(self, engine: Engine, words: Words, page: gr.Blocks) -> None:
        self._engine, self._words = engine, words
        with gr.Row(visible=False, elem_id="loading") as self.row:
            self.note = gr.HTML(elem_id="loading-note", elem_classes="flush")
            self.again = gr.Button(tr("load_again"), elem_id="load-again", scale=0, min_width=120)
        self.timer = gr.Timer(LOOK_EVERY_S, active=engine.status.phase != "ready")
        shown = [self.row, self.note, self.again, self.timer]
        gr.on([page.load, self.timer.tick], self._look, outputs=shown, **QUIET)
        self.again.click(self._try_again, outputs=shown, **QUIET)

    def _look(self, request: gr.Request) -> Updates:
        status, words = self._engine.status, words_for(self._words, request)
        failed = status.phase == "failed"
        text = words["load_failed" if failed else "load_running"].format(note=status.note)
        return {
            self.row: gr.Row(visible=status.phase != "ready"),
            self.note: f'<p role="status">{html.escape(text)}</p>',
            self.again: gr.Button(visible=failed),
            self.timer: gr.Timer(active=status.phase == "loading"),
        }

    def _try_again(self, request: gr.Request) -> Updates:
        self._engine.load()
        return self._look(request)
