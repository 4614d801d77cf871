"""The API alone on a port of this machine: for benchmarks and tests. `app.py` serves it with the
page.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from kimi_demo.api.app import routes
from kimi_demo.api.service import Service
from kimi_demo.errors import EngineError

STOP_PATIENCE_S = 10.0


@contextmanager
def serving(service: Service) -> Generator[str]:
    """Serves on a free port until the block ends; gives the address without /v1.

    Raises: EngineError if the server does not start.
    """
    app = Starlette(routes=routes(service))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        thread.join(0.01)
    if not server.started:
        raise EngineError("no server can be started here: is the loopback address free to use?")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(STOP_PATIENCE_S)
