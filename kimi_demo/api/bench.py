"""How soon the API answers: seconds on the client's side of a socket, beside those of the model.

All times of one call count from the moment at which it was sent.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent

from kimi_demo.api.service import Service
from kimi_demo.api.serving import serving
from kimi_demo.engine.base import Engine
from kimi_demo.events import Event, Stepped
from kimi_demo.intents import Intent
from kimi_demo.metrics import Metrics
from kimi_demo.wire.speech import MEDIA_TYPES

# Sentences are spoken one after the other; a single short one is decoded before it can sound.
TEXT = (
    "The weather is fine today. The train to the north leaves at half past seven. We have time to "
    "eat and to drink some warm tea."
)
QUESTION = "What is the capital of France?"
PATIENCE_S = 600.0
Figures = dict[str, float]


@dataclass(frozen=True)
class Calls:
    text: str = TEXT
    question: str = QUESTION
    repeats: int = 3
    seed: int = 0


class _Clocked(Engine):
    """An engine of which is known when it last made a decode step."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        super().__init__(engine.capabilities, metrics=metrics)
        self._engine = engine
        self.last_step = 0.0

    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        return self._clocked(self._engine.answer(intent))

    def _clocked(self, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
        with closing(events):
            for event in events:
                if isinstance(event, Stepped):
                    self.last_step = time.perf_counter()
                yield event


def measure(engine: Engine, calls: Calls) -> dict[str, object]:
    """Serves the engine and calls it over a socket; the first call of all is not counted."""
    metrics = Metrics()
    clocked = _Clocked(engine, metrics)
    service = Service(clocked, metrics)
    with serving(service) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        _speech(client, clocked, "pcm", calls)
        speech = {
            name: _spread(lambda name=name: _speech(client, clocked, name, calls), calls.repeats)
            for name in MEDIA_TYPES
        }
        chat = _spread(lambda: _chat(client, clocked, calls), calls.repeats)
    return {
        "model": engine.capabilities.model,
        "device": engine.capabilities.device,
        "repeats": calls.repeats,
        "text": calls.text,
        "speech": speech,
        "question": calls.question,
        "chat": chat,
    }


def _speech(client: httpx.Client, engine: _Clocked, name: str, calls: Calls) -> Figures:
    """Times of the bytes, and of the model's last token."""
    body = {"model": "tts-1", "voice": "alloy", "input": calls.text, "seed": calls.seed}
    began, size = time.perf_counter(), 0
    times: list[float] = []
    with client.stream("POST", "/v1/audio/speech", json=body | {"response_format": name}) as reply:
        _check(reply)
        for piece in reply.iter_raw():
            times.append(time.perf_counter() - began)
            size += len(piece)
    return {
        "first_byte_s": times[0],
        "last_token_s": engine.last_step - began,
        "last_byte_s": times[-1],
        "bytes": size,
    }


def _chat(client: httpx.Client, engine: _Clocked, calls: Calls) -> Figures:
    """Times of the first transcript and the first sound of a streamed, spoken answer."""
    body = {
        "model": "gpt-audio",
        "messages": [{"role": "user", "content": calls.question}],
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "pcm16"},
        "stream": True,
        "seed": calls.seed,
    }
    found: Figures = {}
    began = time.perf_counter()
    with client.stream("POST", "/v1/chat/completions", json=body) as reply:
        _check(reply)
        for key in _kinds(EventSource(reply).iter_sse()):
            found.setdefault(f"first_{key}_s", time.perf_counter() - began)
    return found | {
        "last_token_s": engine.last_step - began,
        "last_chunk_s": time.perf_counter() - began,
    }


def _kinds(lines: Iterable[ServerSentEvent]) -> Iterator[str]:
    """What each chunk brings that was waited for."""
    for line in lines:
        for choice in line.json()["choices"] if line.data.startswith("{") else ():
            sound: dict[str, Any] = choice["delta"].get("audio") or {}
            yield from (key for key in ("transcript", "data") if sound.get(key))


def _check(reply: httpx.Response) -> None:
    if not reply.is_success:
        reply.read()
    reply.raise_for_status()


def _spread(call: Callable[[], Figures], repeats: int) -> dict[str, dict[str, float]]:
    """The middle and the ends of each figure."""
    found = [call() for _ in range(repeats)]
    return {
        key: {
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
        }
        for key in found[0]
        if (values := [figures[key] for figures in found if key in figures])
    }
