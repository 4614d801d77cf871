"""An engine that asks an OpenAI-compatible server, ours or another, over HTTP."""

from kimi_demo.engine.remote.engine import RemoteEngine

__all__ = ["RemoteEngine"]
