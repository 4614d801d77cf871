"""The commands of `python -m kimi_demo` that use a checkpoint; one module each."""
