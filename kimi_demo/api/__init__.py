"""The OpenAI-compatible server: it knows engines by their interface, and the protocol."""

from kimi_demo.api.app import create_api, routes
from kimi_demo.api.service import Service

__all__ = ["Service", "create_api", "routes"]
