"""The tab that says what runs here, what it can and cannot do, and how programs call it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

import gradio as gr

from kimi_demo.engine.base import Capabilities
from kimi_demo.ui.endpoints import ADDRESS, Endpoint, curl_snippet, endpoints, python_snippet
from kimi_demo.ui.i18n import tr
from kimi_demo.ui.view import known_count

_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:)[^)]*\)")
# What a checkpoint is made of, by its name, as a text of the page in both languages.
ORIGINS = {"nano": "about_nano"}
_TITLE = re.compile(r"\A# .*\n+")
# The snippets name the address at which the visitor sees this page; translation redraws them.
_FILL_ADDRESS = f"""
const here = location.origin + location.pathname.replace(/[^/]*$/, "");
const fill = () => element.querySelectorAll("code").forEach((code) => {{
  if (code.textContent.includes("{ADDRESS}") && here !== "{ADDRESS}")
    code.textContent = code.textContent.replaceAll("{ADDRESS}", here);
}});
fill();
new MutationObserver(fill).observe(element, {{ childList: true, subtree: true }});
"""


def facts(capabilities: Capabilities, words: Mapping[str, str]) -> str:
    named = [
        ("about_model", capabilities.model),
        ("about_parameters", known_count(capabilities.parameters)),
        ("about_device", capabilities.device),
        ("about_rate", f"{capabilities.sample_rate / 1000:g} kHz"),
        ("about_languages", ", ".join(capabilities.languages)),
        ("about_limits", _limits(capabilities, words)),
        ("about_choices", ", ".join(capabilities.tasks.choices)),
    ]
    rows = "".join(
        f"<div><dt>{html.escape(words[key])}</dt><dd>{html.escape(value)}</dd></div>"
        for key, value in named
        if value
    )
    label = html.escape(capabilities.label)
    return f'<section class="about"><p>{label}</p><dl class="facts">{rows}</dl></section>'


def readable_card(card: str) -> str:
    """A model card's Markdown without its title and without links into the repository."""
    return _TITLE.sub("", _RELATIVE_LINK.sub(r"\1", card))


class AboutTab:
    """Builds the tab; it must be the last one, for it lists the endpoints of those before."""

    def __init__(self, capabilities: Capabilities, page: gr.Blocks) -> None:
        gr.HTML(tr("about_facts"), elem_id="about-facts", elem_classes="flush")
        origin = ORIGINS.get(capabilities.model)
        if origin:
            gr.HTML(tr(origin), elem_id="about-origin", elem_classes="flush")
        gr.HTML(tr("about_notice"), elem_id="about-notice", elem_classes="flush")
        if capabilities.card:
            with gr.Accordion(tr("about_card"), open=False):
                gr.Markdown(readable_card(capabilities.card), elem_id="about-card")
        gr.HTML(
            tr("about_api"),
            js_on_load=_FILL_ADDRESS,
            elem_id="about-api-intro",
            elem_classes="flush",
        )
        gr.HTML(
            "".join(_documented(endpoint) for endpoint in endpoints(page)),
            js_on_load=_FILL_ADDRESS,
            elem_id="about-api",
            elem_classes="flush",
        )


def _limits(capabilities: Capabilities, words: Mapping[str, str]) -> str:
    tasks = capabilities.tasks
    return words["about_limits_text"].format(
        chars=tasks.max_text_chars, seconds=f"{tasks.max_audio_s:g}"
    )


def _documented(endpoint: Endpoint) -> str:
    parameters = "".join(
        f"<li><code>{html.escape(name)}</code> {html.escape(text)}</li>"
        for name, text in endpoint.parameters
    )
    snippets = "".join(
        f"<h4>{title}</h4><pre><code>{html.escape(code, quote=False)}</code></pre>"
        for title, code in (
            ("Python", python_snippet(endpoint)),
            ("curl", curl_snippet(endpoint)),
        )
    )
    return (
        f'<details class="endpoint"><summary><code>{html.escape(endpoint.name)}</code> '
        f"{html.escape(endpoint.summary)}</summary><ul>{parameters}</ul>{snippets}</details>"
    )
