"""The engine that was chosen: one that computes here, or one elsewhere. torch comes with the first
alone.
"""

from __future__ import annotations

from kimi_demo.engine.base import Engine
from kimi_demo.options import ModelOptions, RemoteOptions


def open_engine(model: ModelOptions, remote: RemoteOptions | None = None) -> Engine:
    """An engine to ask.

    Raises: CheckpointError if the model cannot be loaded; EngineError or AccessError if the server
    cannot be used.
    """
    if remote is not None:
        from kimi_demo.engine.remote import RemoteEngine

        return RemoteEngine.connected(remote)
    from kimi_demo.engine.factory import create_engine

    return create_engine(model)
