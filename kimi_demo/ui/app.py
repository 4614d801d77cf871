"""The whole page: header, tabs, and how it is launched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.settings import Settings
from kimi_demo.ui.about import AboutTab, facts
from kimi_demo.ui.caption import CaptionTab
from kimi_demo.ui.conversation import ConversationTab
from kimi_demo.ui.i18n import EN, ZH, browser_translations, dictionaries, tr
from kimi_demo.ui.loading import LoadingNote
from kimi_demo.ui.speech import SpeechTab
from kimi_demo.ui.tab import Words
from kimi_demo.ui.talk import Mint
from kimi_demo.ui.theme import css, theme
from kimi_demo.ui.transcribe import TranscribeTab
from kimi_demo.ui.understand import UnderstandTab, preset_words
from kimi_demo.ui.view import header

RECORDINGS_KEPT_S = 3600
MAX_UPLOAD = "100mb"
# In the order in which they stand on the page; the address of a tab is its name after a hash.
TABS: dict[str, Callable[[Engine, Words], object]] = {
    "speech": SpeechTab,
    "conversation": ConversationTab,
    "transcribe": TranscribeTab,
    "caption": CaptionTab,
    "understand": UnderstandTab,
}
# Run by the browser: /#caption opens that tab, and a chosen tab writes itself into the address.
_DEEP_LINKS = """
const PREFIX = "tab-", SUFFIX = "-button";
const open = () => {
  const name = location.hash.slice(1);
  const button = /^[a-z]+$/.test(name) && document.getElementById(PREFIX + name + SUFFIX);
  if (button) button.click();
  return Boolean(button) || !name;
};
const untilThere = setInterval(() => { if (open()) clearInterval(untilThere); }, 100);
setTimeout(() => clearInterval(untilThere), 10000);
addEventListener("hashchange", open);
document.addEventListener("click", (event) => {
  const tab = event.target.closest?.(`[role=tab][id^=${PREFIX}]`);
  if (tab) history.replaceState(null, "", "#" + tab.id.slice(PREFIX.length, -SUFFIX.length));
});
"""


def page_words(capabilities: Capabilities, ui_language: str = "auto") -> dict[str, dict[str, str]]:
    """Both dictionaries, with the sentences that depend on the checkpoint."""
    tasks = capabilities.tasks
    limit = {"seconds": f"{tasks.max_audio_s:g}"}
    memory = {"turns": tasks.memory.turns, "seconds": f"{tasks.memory.seconds:g}"}
    notes = {"caption_note": limit, "understand_note": limit, "conversation_memory": memory}
    extra = {
        "header": (header(capabilities, EN), header(capabilities, ZH)),
        "about_facts": (facts(capabilities, EN), facts(capabilities, ZH)),
        **{key: (EN[key].format(**of), ZH[key].format(**of)) for key, of in notes.items()},
        **preset_words(capabilities),
    }
    return dictionaries(ui_language, extra)


def build_ui(engine: Engine, ui_language: str = "auto", talk: Mint | None = None) -> gr.Blocks:
    """The page for this engine. Nothing of a visitor is kept between two runs.

    talk: mints keys for the realtime API beside the page; without it nobody talks hands-free.
    """
    tabs = {**TABS, "conversation": partial(ConversationTab, mint=talk)}
    words = page_words(engine.capabilities, ui_language)
    with gr.Blocks(
        title="Kimi-Audio",
        analytics_enabled=False,
        fill_width=False,
        delete_cache=(RECORDINGS_KEPT_S // 2, RECORDINGS_KEPT_S),
    ) as page:
        gr.HTML(tr("header"), js_on_load=_DEEP_LINKS, apply_default_css=False, elem_id="header")
        LoadingNote(engine, words, page)
        with gr.Tabs(overflow_behavior="wrap"):  # a tab in a menu is a tab that nobody finds
            for name, tab in tabs.items():
                with gr.Tab(tr(f"tab_{name}"), id=name, elem_id=f"tab-{name}"):
                    tab(engine, words)
            with gr.Tab(tr("tab_about"), id="about", elem_id="tab-about"):
                AboutTab(engine.capabilities, page)
    # The engine has a line for everybody; in one of Gradio's, callers of the API would overtake.
    return page.queue(default_concurrency_limit=None)


def launch_options(capabilities: Capabilities, settings: Settings) -> dict[str, Any]:
    words = page_words(capabilities, settings.ui_language)
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "share": settings.share,
        "root_path": settings.root_path,
        "mcp_server": settings.mcp,
        "pwa": settings.pwa,
        "i18n": browser_translations(words),
        "theme": theme(),
        "css": css(),
        "max_file_size": MAX_UPLOAD,
        "run_history": False,
        "footer_links": ["api", "settings"],
    }
