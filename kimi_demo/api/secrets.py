"""Keys for one page of one visitor: short-lived, for live conversations alone."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kimi_demo.errors import AccessError

PREFIX = "ek_"
KEPT_S = 600
MAX_SECRETS = 10_000


@dataclass(frozen=True)
class Secret:
    """owner: who asked for it. expires_at: Unix time. session: how its conversations begin."""

    value: str
    owner: str
    expires_at: int
    session: dict[str, Any]


class Secrets:
    """Those that are valid; beyond the limit the oldest are forgotten. Thread-safe.

    clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Secret] = OrderedDict()

    def mint(
        self, owner: str, kept_s: int = KEPT_S, session: dict[str, Any] | None = None
    ) -> Secret:
        """A new one."""
        value = PREFIX + secrets.token_urlsafe(32)
        secret = Secret(value, owner, int(self._clock()) + kept_s, session or {})
        with self._lock:
            self._known[value] = secret
            while len(self._known) > MAX_SECRETS:
                self._known.popitem(last=False)
        return secret

    def find(self, value: str) -> Secret:
        """Raises: AccessError if it is not known or has expired."""
        with self._lock:
            secret = self._known.get(value)
            if secret and secret.expires_at <= self._clock():
                del self._known[value]
                secret = None
        if secret is None:
            raise AccessError("this client secret is not valid any more: ask for another")
        return secret
