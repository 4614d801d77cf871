"""Spoken answers of a while ago, by their ids, so that a client need not send them back.

What is kept is small: semantic codes, 12.5 whole numbers a second, and their text.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kimi_demo.errors import InputError, UnknownName
from kimi_demo.messages import SpokenPart

logger = logging.getLogger(__name__)
KEPT_S = 3600
MAX_ANSWERS = 10_000
BUSY_S = 2.0  # how long another server may be at the file
_TABLE = """
    CREATE TABLE IF NOT EXISTS answers
    (id TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at INTEGER NOT NULL, part TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS answers_by_age ON answers (expires_at);
"""


@dataclass(frozen=True)
class KeptAnswer:
    """What a client is told. expires_at: Unix time."""

    id: str
    expires_at: int


class AnswerStore:
    """In memory, or in a file that the servers of one machine share. Thread-safe.

    clock: Unix seconds.
    Raises: InputError if the file cannot be used.
    """

    def __init__(
        self,
        path: str = ":memory:",
        kept_s: int = KEPT_S,
        max_answers: int = MAX_ANSWERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kept_s = kept_s
        self._max_answers = max_answers
        self._clock = clock
        self._lock = threading.Lock()  # one connection for all threads
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_S)
            self._database.executescript(_TABLE)
        except sqlite3.Error as exc:
            raise InputError(f"answers cannot be kept in {path}: {exc}; name another file") from exc

    def expiry(self) -> int:
        return int(self._clock()) + self._kept_s

    def keep(self, part: SpokenPart, owner: str, id_: str = "") -> KeptAnswer:
        """Keeps an answer for the holder of a key; beyond the limit the oldest are forgotten. Where
        the file cannot be written, it expires at once.
        """
        kept = KeptAnswer(id_ or new_id(), self.expiry())
        value = json.dumps({"codes": part.codes, "text": part.text, "id": part.id})
        try:
            with self._lock, self._database:
                self._forget()
                self._database.execute(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)",
                    (kept.id, owner, kept.expires_at, value),
                )
        except sqlite3.Error as exc:  # the answer itself is worth more than its id
            logger.warning("an answer is not kept: %s", exc)
            return KeptAnswer(kept.id, int(self._clock()))
        return kept

    def find(self, id_: str, owner: str) -> SpokenPart:
        """Raises: UnknownName if it is not known, expired, or somebody else's."""
        query = "SELECT part FROM answers WHERE id = ? AND owner = ? AND expires_at > ?"
        try:
            with self._lock:
                row = self._database.execute(query, (id_, owner, int(self._clock()))).fetchone()
        except sqlite3.Error as exc:
            logger.warning("kept answers cannot be read: %s", exc)
            row = None
        if row is None:
            raise UnknownName(
                f"the answer {id_[:64]!r} is not known any more: send its words as content",
                param="messages",
                code="audio_not_found",
            )
        value = json.loads(row[0])
        return SpokenPart(tuple(value["codes"]), value["text"], value["id"])

    def close(self) -> None:
        """Waits for who is at it; later calls fail."""
        with self._lock:
            self._database.close()

    def _forget(self) -> None:
        """What is too old, and what is too much once one more comes."""
        self._database.execute("DELETE FROM answers WHERE expires_at <= ?", (int(self._clock()),))
        self._database.execute(
            "DELETE FROM answers WHERE rowid IN "
            "(SELECT rowid FROM answers ORDER BY expires_at DESC, rowid DESC LIMIT -1 OFFSET ?)",
            (self._max_answers - 1,),
        )


def new_id() -> str:
    return f"audio_{secrets.token_hex(16)}"
