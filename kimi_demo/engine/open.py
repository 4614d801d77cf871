"""The engine that was chosen: one that computes here, or one elsewhere. torch comes with the first
alone.
"""

from __future__ import annotations

import os

from kimi_demo.engine.base import Engine
from kimi_demo.options import ModelOptions, RemoteOptions


def open_engine(
    model: ModelOptions, remote: RemoteOptions | None = None, late: bool = False
) -> Engine:
    """An engine to ask. late: one of this process loads when `load` is called, and jobs wait.

    Raises: CheckpointError if the model cannot be loaded; EngineError or AccessError if the server
    cannot be used.
    """
    if remote is not None:
        from kimi_demo.engine.remote import RemoteEngine

        return RemoteEngine.connected(remote)
    # Before torch comes: a thread of OpenMP that spins while it waits slows the others down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Of each length that was ever computed oneDNN keeps 1024 kernels; few of them come again.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    if late:
        from kimi_demo.engine.late import late_engine

        return late_engine(model)
    from kimi_demo.engine.factory import create_engine

    return create_engine(model)
