"""What is measured while the server runs, in the terms of Prometheus.

One `Metrics` belongs to one server and has a registry of its own, so that two servers in a process
do not add up.
"""

from __future__ import annotations

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # a second series for each, of which nobody makes use

SECONDS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
REAL_TIME_FACTORS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0, 5.0)


class Metrics:
    """All series of one server. In and out are seen from the model: in is what it hears."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: Any = {"registry": self._registry, "namespace": "kimi"}
        self.first_audio_s = Histogram(
            "first_audio_seconds", "From its turn to the first sound", buckets=SECONDS, **own
        )
        self.first_text_s = Histogram(
            "first_text_seconds", "From its turn to the first text", buckets=SECONDS, **own
        )
        self.rtf = Histogram(
            "real_time_factor",
            "Compute seconds for each second of sound made",
            buckets=REAL_TIME_FACTORS,
            **own,
        )
        self.underruns = Counter(
            "audio_underruns",
            "Times that sound came later than a player had played what came before",
            **own,
        )
        self.queue_depth = Gauge("queue_depth", "Requests that wait for a slot", **own)
        self.queue_wait_s = Histogram(
            "queue_wait_seconds", "From arrival to its turn", buckets=SECONDS, **own
        )
        self.active_streams = Gauge("active_streams", "Requests that hold a slot", **own)
        self.decode_steps = Counter("decode_steps", "Steps of the language model", **own)
        self.audio_s = Counter("audio_seconds", "Sound heard and made", ["direction"], **own)
        self.requests = Counter(
            "requests",
            "Requests to the model by task and outcome: finished, cancelled (the reader left, or a "
            "stop text came), failed",
            ["task", "outcome"],
            **own,
        )
        self.errors = Counter("errors", "Failures by class", ["error"], **own)
        self.http_responses = Counter(
            "http_responses", "Replies of the API by route and status", ["route", "status"], **own
        )
        self.key_requests = Counter("key_requests", "Calls of the API by key name", ["key"], **own)
        self.key_audio_s = Counter(
            "key_audio_seconds", "Sound by key name and direction", ["key", "direction"], **own
        )

    def exposition(self) -> bytes:
        return generate_latest(self._registry)

    def value(self, name: str, **labels: str) -> float:
        """One series by its full name; 0 where nothing has been counted yet."""
        return self._registry.get_sample_value(name, labels) or 0.0
