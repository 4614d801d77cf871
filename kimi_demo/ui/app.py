"""The whole page: header, tabs, and how it is launched."""

from __future__ import annotations

from typing import Any

import gradio as gr

from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.settings import Settings
from kimi_demo.ui.i18n import EN, ZH, browser_translations, dictionaries, tr
from kimi_demo.ui.speech import SpeechTab
from kimi_demo.ui.theme import css, theme
from kimi_demo.ui.transcribe import TranscribeTab
from kimi_demo.ui.view import header

RECORDINGS_KEPT_S = 3600
MAX_UPLOAD = "100mb"


def page_words(capabilities: Capabilities, ui_language: str = "auto") -> dict[str, dict[str, str]]:
    """Both dictionaries, with the sentences that depend on the checkpoint."""
    seconds = f"{capabilities.tasks.max_audio_s:g}"
    extra = {
        "header": (header(capabilities, EN), header(capabilities, ZH)),
        "audio_note": (
            EN["audio_note"].format(seconds=seconds),
            ZH["audio_note"].format(seconds=seconds),
        ),
    }
    return dictionaries(ui_language, extra)


def build_ui(engine: Engine, ui_language: str = "auto") -> gr.Blocks:
    """The page for this engine. Nothing of a visitor is kept between two runs."""
    words = page_words(engine.capabilities, ui_language)
    with gr.Blocks(
        title="Kimi-Audio",
        analytics_enabled=False,
        fill_width=False,
        delete_cache=(RECORDINGS_KEPT_S // 2, RECORDINGS_KEPT_S),
    ) as page:
        gr.HTML(tr("header"), apply_default_css=False, elem_id="header")
        with gr.Tabs():
            with gr.Tab(tr("tab_speech"), id="speech"):
                SpeechTab(engine, words)
            with gr.Tab(tr("tab_transcribe"), id="transcribe"):
                TranscribeTab(engine, words)
    return page


def launch_options(capabilities: Capabilities, settings: Settings) -> dict[str, Any]:
    """Keyword arguments for `build_ui(engine).launch(...)`."""
    words = page_words(capabilities, settings.ui_language)
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "share": settings.share,
        "root_path": settings.root_path,
        "i18n": browser_translations(words),
        "theme": theme(),
        "css": css(),
        "max_file_size": MAX_UPLOAD,
        "run_history": False,
        "footer_links": ["api", "settings"],
    }
