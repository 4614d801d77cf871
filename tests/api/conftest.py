"""Servers on real sockets: nano with page and API as `app.py` serves them, and the API alone over
any engine; and the official client of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from kimi_demo.api import Service
from kimi_demo.api.serving import serving as serving_api
from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio, read
from kimi_demo.engine.base import Engine, Status
from kimi_demo.engine.factory import create_engine
from kimi_demo.events import Answer, collect
from kimi_demo.intents import Chat, Intent
from kimi_demo.metrics import Metrics
from kimi_demo.options import ModelOptions
from kimi_demo.voice_activity import without_silence
from tests.api.sounds import Heard, clip

CLIPS = Path(__file__).parents[2] / "examples" / "audio"


@dataclass(frozen=True)
class Site:
    """A running server. url: without /v1."""

    url: str
    service: Service

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        """The official client; it tries once only, so that failures are seen."""
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, **options}
        )

    def async_client(self, key: str = "none") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)


class OwnLine(Engine):
    """The same engine, with another line and other counts."""

    def __init__(self, engine: Engine, max_waiting: int, metrics: Metrics) -> None:
        super().__init__(engine.capabilities, max_waiting, metrics)
        self._engine, self.answer = engine, engine.answer

    @property
    def status(self) -> Status:
        return self._engine.status

    def answer(self, intent: Intent) -> Any:
        raise AssertionError("the other one answers")


@contextmanager
def serving(engine: Engine, max_waiting: int = 8, **options: Any) -> Iterator[Site]:
    """The API over an engine, with a line of its own as in `app.py`; the engine is left open."""
    metrics = Metrics()
    service = Service(OwnLine(engine, max_waiting, metrics), metrics, **options)
    with serving_api(service) as url, closing(service.answers):
        yield Site(url, service)


@pytest.fixture(scope="session")
def serve_api() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="session")
def nano() -> Iterator[Engine]:
    """The embedded checkpoint, on the CPU."""
    engine = create_engine(ModelOptions(device="cpu"))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def typed_answer(nano: Engine) -> Answer:
    """What nano answers to "What does a dog say?" without a server."""
    return collect(nano.stream(Chat.about("What does a dog say?")))


@pytest.fixture(scope="session")
def spoken_answer(nano: Engine) -> Answer:
    """What nano answers to question-en.wav without a server."""
    sound = without_silence(read(CLIPS / "question-en.wav", sample_rate=INPUT_SAMPLE_RATE))
    return collect(nano.stream(Chat.about(sound)))


@pytest.fixture(scope="session")
def question() -> Audio:
    return clip("question-en")


@pytest.fixture(scope="session")
def said(nano: Engine, question: Audio) -> Heard:
    heard = Heard.by(nano, question)
    assert heard.text
    return heard


@pytest.fixture(scope="session")
def nano_site(nano: Engine) -> Iterator[Site]:
    with serving(nano) as site:
        yield site


@pytest.fixture
def client(nano_site: Site) -> Iterator[openai.OpenAI]:
    with nano_site.client() as connected:
        yield connected
