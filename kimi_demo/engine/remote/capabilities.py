"""What a server says of itself, or what can be assumed of one that says nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from kimi_demo.audio import OUTPUT_SAMPLE_RATE
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.remote.connection import Connection
from kimi_demo.engine.remote.replies import read
from kimi_demo.engine.remote.server import Server
from kimi_demo.errors import AccessError, EngineError, UnknownName
from kimi_demo.options import RemoteOptions
from kimi_demo.tasks import ANY_LANGUAGE, TaskTable
from kimi_demo.wire.models import About

# Of the hosted service, where no others are named.
SPEECH_MODEL = "gpt-4o-mini-tts"
TRANSCRIPTION_MODEL = "gpt-4o-transcribe"
TRANSLATION_MODEL = "whisper-1"  # the only one that translates
CHAT_MODEL = "gpt-audio"
HOSTED_SLOTS = 8
LANGUAGES = ("en", "zh")

# Such a server has its own words for reading aloud and writing down, and hears closed questions as
# they were published.
HOSTED_TASKS = TaskTable(
    speech_prompts={},
    speech_prompt="",
    transcription_prompts=dict.fromkeys((ANY_LANGUAGE, *LANGUAGES), ""),
    wordings={},
    follows_instructions=False,
)


def introduced(connection: Connection, options: RemoteOptions) -> tuple[Server, Capabilities]:
    """The server as requests need to know it, and as the page shows it.

    Raises: EngineAway if nothing answers; AccessError if the key is wrong; EngineError if what
    answers is no such server.
    """
    found = _about(_models(connection))
    if found is None:
        return _hosted(connection, options)
    name, about = found
    model = options.model or name
    server = Server(
        connection,
        True,
        model,
        options.speech_model or model,
        options.transcription_model or model,
        options.transcription_model or model,
        options.voice,
    )
    return server, _described(name, about, connection.host)


def _models(connection: Connection) -> list[Any]:
    """What there is; nothing, if the server has no list of it."""
    try:
        reply = connection.get("/models")
    except UnknownName:
        return []
    except AccessError as exc:
        raise AccessError(f"{exc} (KIMI_API_KEY says which key is sent)") from exc
    models = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise EngineError(
            f"{connection.address} is no OpenAI-compatible server: its address often ends in /v1"
        )
    return models


def _about(models: list[Any]) -> tuple[str, About] | None:
    for model in models:
        if isinstance(model, dict) and model.get("about") is not None:
            return str(model.get("id")), read(About, model["about"])
    return None


def _described(name: str, about: About, host: str) -> Capabilities:
    try:
        tasks = TaskTable.of(about.tasks)
    except ValueError as exc:
        raise EngineError(f"the server at {host} has a task table of another kind: {exc}") from exc
    return Capabilities(
        model=name,
        label=f"{about.label.rstrip()} Computed by the server at {host}.",
        device=host,
        parameters=about.parameters,
        sample_rate=OUTPUT_SAMPLE_RATE,  # of pcm, whatever the model's own is
        languages=tuple(about.languages),
        # Words on how to speak would be read aloud, since a request has no other place for them.
        tasks=dataclasses.replace(tasks, follows_instructions=False),
        card=about.card,
        slots=about.slots,
    )


def _hosted(connection: Connection, options: RemoteOptions) -> tuple[Server, Capabilities]:
    model = options.model
    server = Server(
        connection,
        False,
        model or CHAT_MODEL,
        options.speech_model or model or SPEECH_MODEL,
        options.transcription_model or model or TRANSCRIPTION_MODEL,
        options.transcription_model or model or TRANSLATION_MODEL,
        options.voice,
    )
    capabilities = Capabilities(
        model=server.chat_model,
        label=f"Asks the server at {connection.host}; words and sounds are sent there.",
        device=connection.host,
        parameters=0,
        sample_rate=OUTPUT_SAMPLE_RATE,
        languages=LANGUAGES,
        tasks=HOSTED_TASKS,
        slots=HOSTED_SLOTS,
    )
    return server, capabilities
