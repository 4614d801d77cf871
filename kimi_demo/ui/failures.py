"""Errors as the visitor reads them: what happened and what to do, never a traceback."""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping

import gradio as gr

from kimi_demo.errors import InputError, KimiError

logger = logging.getLogger(__name__)


def toast(error: Exception, words: Mapping[str, str]) -> gr.Error | None:
    """Shows a warning for input that can be mended; for anything else returns what to raise.

    The caller puts its page in order before it raises.
    """
    if isinstance(error, InputError):
        gr.Warning(_sentence(error))
        return None
    return readable(error, words)


def readable(error: Exception, words: Mapping[str, str]) -> gr.Error:
    """The error in a form that Gradio shows, and sends to API clients, as one sentence."""
    if isinstance(error, KimiError):
        if not isinstance(error, InputError):
            logger.warning("%s: %s", type(error).__name__, error)
        return _shown(_sentence(error))
    logger.error("unexpected failure", exc_info=error)
    return _shown(words["toast_unexpected"])


def _shown(message: str) -> gr.Error:
    return gr.Error(message, print_exception=False)


def _sentence(error: Exception) -> str:
    """Capital first letter, full stop; toasts render HTML, and a message may quote a file name."""
    text = html.escape(str(error), quote=False)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "。", "!")) else ".")
