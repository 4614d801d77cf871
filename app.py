"""Starts the demo: settings -> engine -> page and API. `python app.py --help` lists what can be
chosen.
"""

from __future__ import annotations

import importlib.util
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any

from kimi_demo import space  # first: on ZeroGPU nothing may import torch before it
from kimi_demo.api import Service, routes
from kimi_demo.api.history import AnswerStore
from kimi_demo.api.keys import ANYBODY, Keys
from kimi_demo.engine.open import open_engine
from kimi_demo.errors import InputError, KimiError
from kimi_demo.metrics import Metrics
from kimi_demo.settings import Settings
from kimi_demo.ui import build_ui, launch_options
from kimi_demo.ui.talk import Mint


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until interrupted. Returns the exit code: 2 for a start that is not possible."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl+C does: in order
    settings = Settings.from_command_line(arguments)
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        sys.stderr.write("--mcp needs a package more: python -m pip install 'gradio[mcp]'\n")
        return 2
    try:
        service = serve(settings)
    except KimiError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    try:
        page = build_ui(service.engine, settings.ui_language, key_for_talking(service))
        options = launch_options(service.engine.capabilities, settings)
        page.launch(**options, **with_api(service, settings), prevent_thread_lock=True)
        service.engine.load()  # after the page is up: both want the processor
        page.block_thread()
    finally:
        service.close()
    return 0


def serve(settings: Settings) -> Service:
    """The engine that page and API share, and what the API needs besides.

    Raises: KimiError if it cannot be had.
    """
    keys, metrics = Keys.of(settings.api_keys), Metrics()
    if settings.page_needs_key and not keys:
        raise InputError("--page-needs-key: there is no key yet, set KIMI_API_KEYS=NAME=KEY")
    answers = AnswerStore(settings.answers)
    model, late = space.adapted(settings.model), not space.ZERO_GPU
    engine, away = open_engine(model, settings.remote, late), ""
    if settings.remote is None:
        engine, away = space.on_lent_gpu(engine), space.why_no_api()
    engine.serve(settings.max_queue, metrics)
    return Service(engine, metrics, keys, answers, away=away)


def key_for_talking(service: Service) -> Mint | None:
    """What gives the page's visitors keys to `/v1/realtime`; None where nobody can be answered."""
    return None if service.away else lambda owner: service.secrets.mint(owner or ANYBODY).value


def with_api(service: Service, settings: Settings) -> dict[str, Any]:
    """Arguments of `launch` that put the API beside the page."""
    options: dict[str, Any] = {"app_kwargs": {"routes": routes(service)}}
    if settings.page_needs_key:
        options["auth"] = service.keys.admits
    return options


if __name__ == "__main__":
    raise SystemExit(main())
