"""The page: knows an engine only by its protocol, and torch not at all."""

from kimi_demo.ui.app import build_ui, launch_options

__all__ = ["build_ui", "launch_options"]
