"""The OpenAI-compatible protocol as values: what travels, for the server and for its clients."""
