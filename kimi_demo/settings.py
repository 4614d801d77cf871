"""What may be chosen at start: command line first, then environment, then these defaults.

This is the only place that reads the environment. The GRADIO_* names are the ones Gradio documents.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
UI_LANGUAGES = ("auto", "en", "zh-CN")


@dataclass(frozen=True)
class Settings:
    """One start of the app."""

    model: str = "nano"
    """A checkpoint's name or its directory."""
    device: str = "auto"
    """A torch device, or "auto": CUDA if there is one, else the CPU."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 serves the whole network."""
    port: int | None = None
    """None takes the first free port from 7860 on."""
    share: bool = False
    """Also open a public share link."""
    mcp: bool = False
    """Also offer the page's endpoints as MCP tools; needs the extra `gradio[mcp]`."""
    pwa: bool = True
    """Let phones and desktops install the page as an app."""
    root_path: str | None = None
    """Path under which a reverse proxy shows the page, such as /kimi."""
    ui_language: str = "auto"
    """Language of the page; "auto" follows the browser."""
    max_queue: int = 32
    """Visitors who may wait at once; the next one is asked to come back."""

    @classmethod
    def from_command_line(
        cls, arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None
    ) -> Settings:
        """Reads both sources. Wrong values end the program with code 2 and one readable line."""
        parser = _parser(os.environ if environ is None else environ)
        return cls(**vars(parser.parse_args(arguments)))


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """A parser whose defaults come from the environment; it checks those like typed ones."""
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Kimi-Audio in the browser: speak, converse, transcribe, understand.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    base = Settings()

    def add(flag: str, name: str, default: object, **options: object) -> None:
        help_text = f"{options.pop('help')} [{name}]"
        parser.add_argument(flag, default=environ.get(name) or default, help=help_text, **options)

    add("--model", "KIMI_MODEL", base.model, help="name or directory of a checkpoint")
    add("--device", "KIMI_DEVICE", base.device, help="auto, cpu, cuda, cuda:1 ...")
    add("--host", "GRADIO_SERVER_NAME", base.host, help="address to listen on")
    add("--port", "GRADIO_SERVER_PORT", base.port, type=_port, help="port; else a free one")
    add("--root-path", "GRADIO_ROOT_PATH", base.root_path, help="path behind a reverse proxy")
    add(
        "--ui-language",
        "KIMI_UI_LANGUAGE",
        base.ui_language,
        type=_language,
        help="auto, en, zh-CN",
    )
    add("--max-queue", "KIMI_MAX_QUEUE", base.max_queue, type=_positive, help="waiting visitors")

    def switch(flag: str, name: str, default: bool, help_text: str) -> None:
        parser.add_argument(
            flag,
            action=argparse.BooleanOptionalAction,
            default=environ[name].lower() in TRUE_WORDS if environ.get(name) else default,
            help=f"{help_text} [{name}]",
        )

    switch("--share", "GRADIO_SHARE", base.share, "open a public link")
    switch("--mcp", "GRADIO_MCP_SERVER", base.mcp, "offer the endpoints as MCP tools")
    switch("--pwa", "KIMI_PWA", base.pwa, "let browsers install the page")
    return parser


def _port(text: str) -> int:
    number = _positive(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{number} is no port: choose 1 to 65535")
    return number


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _language(text: str) -> str:
    if text not in UI_LANGUAGES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(UI_LANGUAGES)}")
    return text
