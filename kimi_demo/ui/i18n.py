"""How the page's words reach the visitor in English or Mandarin.

Labels are translated by the browser (gr.I18n); what Python writes while it runs (the report line,
a few toasts) follows the visitor's Accept-Language through `words_for`.
"""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr
from gradio.i18n import I18nData

from kimi_demo.ui.words import EN, ZH

# Gradio falls back to English for locales it finds no dictionary for, so near relatives share one.
MANDARIN_LOCALES = ("zh-CN", "zh", "zh-SG", "zh-TW", "zh-HK", "zh-Hans", "zh-Hant")

tr = I18nData
"""tr("key") marks a label that the browser translates."""


def dictionaries(
    ui_language: str = "auto", extra: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, dict[str, str]]:
    """Both dictionaries under "en" and "zh-CN", with `extra` entries as (English, Mandarin).

    A fixed ui_language puts its words under both names.
    """
    pairs = (extra or {}).items()
    english = EN | {key: texts[0] for key, texts in pairs}
    mandarin = ZH | {key: texts[1] for key, texts in pairs}
    fixed = {"en": english, "zh-CN": mandarin}.get(ui_language)
    return {"en": fixed or english, "zh-CN": fixed or mandarin}


def browser_translations(words: Mapping[str, dict[str, str]]) -> gr.I18n:
    return gr.I18n(en=words["en"], **dict.fromkeys(MANDARIN_LOCALES, words["zh-CN"]))


def words_for(words: Mapping[str, dict[str, str]], request: gr.Request | None) -> dict[str, str]:
    """The visitor's dictionary, by the first language that the browser asks for."""
    accepted = (request.headers.get("accept-language") or "") if request else ""
    return words["zh-CN" if accepted.strip().lower().startswith("zh") else "en"]
