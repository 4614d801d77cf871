"""What may be chosen at start: command line first, then environment, then these defaults.

This is the only place that reads the environment. The GRADIO_* names are the ones Gradio documents.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from kimi_demo.errors import InputError
from kimi_demo.options import (
    DTYPES,
    OFFLOADS,
    QUANTIZATIONS,
    ModelOptions,
    RemoteOptions,
    memory_of,
)

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
UI_LANGUAGES = ("auto", "en", "zh-CN")


def on_zero_gpu(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this is a Space to which GPUs are lent for single requests."""
    chosen = os.environ if environ is None else environ
    return chosen.get("SPACES_ZERO_GPU", "").lower() in TRUE_WORDS


@dataclass(frozen=True)
class Settings:
    """One start of the app."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Which checkpoint computes, and where."""
    remote: RemoteOptions | None = None
    """The server that is asked instead of a checkpoint here."""
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
    """Requests that may wait at once; the next one is asked to come back."""
    api_keys: str = field(default="", repr=False)
    """NAME=KEY,NAME=KEY ...: with any, the API wants one with every call."""
    page_needs_key: bool = False
    """The page wants a login, too: a key's name and the key."""
    answers: str = ":memory:"
    """File in which spoken answers are kept for the API's conversations; servers may share it."""

    @classmethod
    def from_command_line(
        cls, arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None
    ) -> Settings:
        """Reads both sources. Wrong values end the program with code 2 and one readable line."""
        parser = _parser(os.environ if environ is None else environ)
        args = parser.parse_args(arguments)
        known = {option.name for option in fields(cls)} - {"model", "remote"}
        own = {name: value for name, value in vars(args).items() if name in known}
        return cls(**own, model=model_options(args), remote=remote_options(args))


def add_model_arguments(
    parser: argparse.ArgumentParser, environ: Mapping[str, str] | None = None
) -> None:
    """The options that every command shares which computes; read by `model_options`."""
    base, add = ModelOptions(), _adding(parser, os.environ if environ is None else environ)
    names = "nano, a folder, or a hub id (owner/name)"
    add("--model", "KIMI_MODEL", base.model, help=names)
    add("--revision", "KIMI_REVISION", base.revision, help="of the hub id; else the tried one")
    add("--device", "KIMI_DEVICE", base.device, help="auto, cpu, cuda, cuda:1 ...")
    placed = "auto, or a JSON file: module name to device"
    add("--device-map", "KIMI_DEVICE_MAP", base.device_map, help=placed)
    amounts = "such as 0=22GiB,1=22GiB,cpu=60GiB; else what is free"
    add("--max-memory", "KIMI_MAX_MEMORY", base.max_memory, type=_memory, help=amounts)
    half = "CPU threads of each computing thread; 0: half the cores"
    add("--threads", "KIMI_THREADS", base.threads, type=_count, help=half)
    add("--slots", "KIMI_SLOTS", base.slots, type=_positive, help="answers made at once")
    for flag, default, known, text in (
        ("--dtype", base.dtype, DTYPES, "precision of the weights"),
        ("--quantize", base.quantize, QUANTIZATIONS, "weights of the language model"),
        ("--offload", base.offload, OFFLOADS, "where what fits on no GPU may wait"),
    ):
        name = f"KIMI_{flag.removeprefix('--').upper()}"
        add(flag, name, default, type=_one_of(known), help=f"{text}: {', '.join(known)}")


def model_options(args: argparse.Namespace) -> ModelOptions:
    """What `add_model_arguments` has read."""
    names = [option.name for option in fields(ModelOptions)]
    return ModelOptions(**{name: getattr(args, name) for name in names})


def add_remote_arguments(
    parser: argparse.ArgumentParser, environ: Mapping[str, str] | None = None
) -> None:
    """The options of a server that is asked in place of a model; read by `remote_options`."""
    add = _adding(parser, os.environ if environ is None else environ)
    server = "ask this OpenAI-compatible server, such as http://localhost:7860/v1"
    add("--api-base", "KIMI_API_BASE", None, type=_address, help=server)
    secret = "its key; better said in the environment"
    parser.add_argument("--api-key", default=None, help=f"{secret} [KIMI_API_KEY]")
    add("--api-model", "KIMI_API_MODEL", "", help="its model; else its own")
    add("--api-speech-model", "KIMI_API_SPEECH_MODEL", "", help="for text to speech")
    add("--api-transcription-model", "KIMI_API_TRANSCRIPTION_MODEL", "", help="for transcripts")
    add("--api-voice", "KIMI_API_VOICE", "alloy", help="its voice")
    secret_default = (os.environ if environ is None else environ).get("KIMI_API_KEY", "")
    parser.set_defaults(api_key_default=secret_default)


def remote_options(args: argparse.Namespace) -> RemoteOptions | None:
    """What `add_remote_arguments` has read; None if no server was named."""
    if not args.api_base:
        return None
    return RemoteOptions(
        base_url=args.api_base.rstrip("/"),
        api_key=args.api_key_default if args.api_key is None else args.api_key,
        model=args.api_model,
        speech_model=args.api_speech_model,
        transcription_model=args.api_transcription_model,
        voice=args.api_voice,
    )


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """A parser whose defaults come from the environment; it checks those like typed ones."""
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Kimi-Audio in the browser: speak, converse, transcribe, understand.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    base, add = Settings(), _adding(parser, environ)
    add_model_arguments(parser, environ)
    add_remote_arguments(parser, environ)
    add("--host", "GRADIO_SERVER_NAME", base.host, help="address to listen on")
    add("--port", "GRADIO_SERVER_PORT", base.port, type=_port, help="port; else a free one")
    add("--root-path", "GRADIO_ROOT_PATH", base.root_path, help="path behind a reverse proxy")
    languages = {"type": _one_of(UI_LANGUAGES), "help": ", ".join(UI_LANGUAGES)}
    add("--ui-language", "KIMI_UI_LANGUAGE", base.ui_language, **languages)
    add("--max-queue", "KIMI_MAX_QUEUE", base.max_queue, type=_positive, help="waiting requests")
    kept = "file for the API's spoken answers, to share between servers"
    add("--answers", "KIMI_ANSWERS", base.answers, help=kept)
    parser.set_defaults(api_keys=environ.get("KIMI_API_KEYS", ""))  # seen by nobody who lists jobs

    def switch(flag: str, name: str, default: bool, help_text: str) -> None:
        parser.add_argument(
            flag,
            action=argparse.BooleanOptionalAction,
            default=environ[name].lower() in TRUE_WORDS if environ.get(name) else default,
            help=f"{help_text} [{name}]",
        )

    switch("--share", "GRADIO_SHARE", base.share, "open a public link")
    switch("--mcp", "GRADIO_MCP_SERVER", base.mcp, "offer the endpoints as MCP tools")
    switch("--page-needs-key", "KIMI_PAGE_NEEDS_KEY", base.page_needs_key, "log in with a key")
    switch("--pwa", "KIMI_PWA", base.pwa, "let browsers install the page")
    return parser


def _port(text: str) -> int:
    number = _positive(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{number} is no port: choose 1 to 65535")
    return number


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no address: write http://HOST:PORT/v1")
    return text


def _count(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    """A type of argument: unlike `choices`, it checks what comes from the environment, too."""

    def checked(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(known)}")
        return text

    return checked


def _memory(text: str) -> str:
    try:
        memory_of(text)
    except InputError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    return text


def _adding(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> Callable[..., None]:
    """Adds an argument whose default comes from a variable of the environment, if that is set."""

    def add(flag: str, name: str, default: object, **options: Any) -> None:
        help_text = f"{options.pop('help')} [{name}]"
        parser.add_argument(flag, default=environ.get(name) or default, help=help_text, **options)

    return add
