"""Starts the demo: settings -> engine -> page. `python app.py --help` lists what can be chosen."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Sequence

from kimi_demo import space  # first: on ZeroGPU nothing may import torch before it
from kimi_demo.engine.factory import create_engine
from kimi_demo.errors import CheckpointError
from kimi_demo.settings import Settings
from kimi_demo.ui import build_ui, launch_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until interrupted. Returns the exit code: 2 for a start that is not possible."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.from_command_line(arguments)
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        sys.stderr.write("--mcp needs a package more: python -m pip install 'gradio[mcp]'\n")
        return 2
    try:
        engine = space.on_lent_gpu(create_engine(space.adapted(settings.model)))
    except CheckpointError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    try:
        page = build_ui(engine, settings.ui_language).queue(max_size=settings.max_queue)
        page.launch(**launch_options(engine.capabilities, settings))
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
