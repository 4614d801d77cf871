"""The stock clients of a live conversation, driven in one way: events out, events in."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openai
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed

from kimi_demo.audio import Audio, read
from tests.voice import silence

CLIPS = Path(__file__).parents[2] / "examples" / "audio"
RATE = 24_000
APPEND_S = 0.1
PATIENCE_S = 30.0
STOCK = TypeAdapter(RealtimeServerEvent)

Event = dict[str, Any]


class Talker:
    """Keeps what arrives. closed: code and reason, once the server has closed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed: tuple[int, str] | None = None
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, type_: str, **fields: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def _read(self) -> None:
        raise NotImplementedError

    def _take(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def _end(self, code: int, reason: str) -> None:
        with self._changed:
            self.closed = code, reason
            self._changed.notify_all()

    def wait(self, type_: str, after: int = 0, **wanted: Any) -> Event:
        """The first such event since that place in all events; wanted: of its fields, too."""

        def found() -> Event | None:
            for event in self.events[after:]:
                if event["type"] == type_ and wanted.items() <= event.items():
                    return event
            return None

        return self._until(found, f"{type_} {wanted}")

    def wait_closed(self) -> tuple[int, str]:
        return self._until(lambda: self.closed, "the end")

    def _until(self, found: Callable[[], Any], what: str) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: found() or self.closed, PATIENCE_S)
            seen = found()
            assert seen, f"no {what} in {[e['type'] for e in self.events]} ({self.closed})"
            return seen

    def all(self, type_: str) -> list[Event]:
        return [event for event in self.events if event["type"] == type_]

    def place(self, event: Event) -> int:
        return self.events.index(event)

    def append(self, waveform: np.ndarray) -> None:
        """waveform: (T,) float32 at 24 kHz, in pieces as a microphone gives them."""
        step = round(APPEND_S * RATE)
        for start in range(0, len(waveform), step):
            pcm = Audio(waveform[start : start + step], RATE).pcm16()
            self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    def say(self, clip: str) -> str:
        """A recording and the silence after it; gives the id of its item."""
        since = len(self.events)
        spoken = np.concatenate([clip_of(clip), silence(0.8, RATE)])
        self.append(spoken)
        return self.wait("input_audio_buffer.committed", since)["item_id"]

    def type(self, text: str) -> None:
        """Something written, that is to be answered."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        self.send("conversation.item.create", item=item)
        self.send("response.create")

    def check_nothing_dropped(self) -> None:
        """Every event is one that the client knows."""
        raise NotImplementedError


def clip_of(name: str) -> np.ndarray:
    """(T,) float32 at 24 kHz."""
    return read(CLIPS / f"{name}.wav", sample_rate=RATE).waveform


class PythonTalker(Talker):
    """`client.realtime.connect`."""

    def __init__(self, url: str, key: str = "none", **options: Any) -> None:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self._connection = client.realtime.connect(
            model="gpt-realtime", websocket_connection_options={"max_size": None}, **options
        ).enter()
        super().__init__()

    def send(self, type_: str, **fields: Any) -> None:
        self._connection.send({"type": type_, **fields})  # type: ignore[arg-type]

    def close(self) -> None:
        self._connection.close()
        self._reader.join()

    def _read(self) -> None:
        try:
            while True:
                self._take(self._connection.recv().to_dict())
        except ConnectionClosed as exc:
            self._end(exc.rcvd.code if exc.rcvd else 1006, exc.rcvd.reason if exc.rcvd else "")

    def check_nothing_dropped(self) -> None:
        """The client checks nothing; its own types do."""
        for event in self.events:
            STOCK.validate_python(event)


class NodeTalker(Talker):
    """A client in a process of Node.js. kind: as in bridge.mjs. settings: of the agents'."""

    def __init__(self, bridge: Path, kind: str, url: str, key: str = "none", **settings: Any):
        self._parsed: list[str] = []
        self.history: list[Event] = []
        self.heard_bytes: dict[str, int] = {}
        self._process = subprocess.Popen(
            ["node", str(bridge), kind, url, key, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        super().__init__()

    def send(self, type_: str, **fields: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"type": type_, **fields}) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(PATIENCE_S) == 0
        self._reader.join()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            match json.loads(line):
                case {"raw": event}:
                    self._take(event)
                case {"parsed": _, "id": id_}:
                    self._parsed.append(id_)
                case {"history": history}:
                    self.history = history
                case {"heard": response, "bytes": count}:
                    self.heard_bytes[response] = self.heard_bytes.get(response, 0) + count
                case {"closed": code, "reason": reason}:
                    self._end(code, reason)
        if self.closed is None:
            self._end(1006, "the process ended")

    def check_nothing_dropped(self) -> None:
        """Once it is closed: what has arrived was parsed, all and in order."""
        assert self._parsed == [event["event_id"] for event in self.events]
