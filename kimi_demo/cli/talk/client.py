"""One conversation with a server of live conversation, ours or another."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from kimi_demo.cli.talk.devices import Loudspeaker
from kimi_demo.errors import EngineAway, EngineError
from kimi_demo.realtime.turns import PAUSE_MS

MAX_EVENT_BYTES = 16 * 2**20


class Microphone(Protocol):
    """Blocks of PCM of 16 bits at 24 kHz, in real time."""

    def blocks(self) -> AsyncGenerator[bytes]: ...


@dataclass
class TurnTimes:
    """Of one turn, seconds after the user's last word; None where nothing came.

    noticed: the server says that the turn is over.
    """

    heard: str = ""
    said: str = ""
    noticed_s: float | None = None
    first_text_s: float | None = None
    first_sound_s: float | None = None
    cut: bool = False


class Talk:
    """Carries sound both ways and keeps what was said. told: who says more of what, for a display.

    idle: called with whether nobody thinks or speaks.
    """

    def __init__(
        self,
        microphone: Microphone,
        speaker: Loudspeaker,
        told: Callable[[str, str], None] = lambda _, __: None,
        idle: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.turns: list[TurnTimes] = []
        self._microphone, self._speaker = microphone, speaker
        self._told, self._idle = told, idle
        self._began_s = self._ended_s = 0.0
        self._answering = False

    async def run(self, url: str, key: str, session: dict[str, Any]) -> None:
        """Until the microphone ends. url: ws:// or wss://, with the path.

        Raises: EngineAway if there is no such server; EngineError if it ends the conversation.
        """
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with connect(
                url,
                additional_headers=headers,
                subprotocols=["realtime"],  # type: ignore[list-item]
                max_size=MAX_EVENT_BYTES,
            ) as socket:
                await self._send(socket, "session.update", session=session)
                reading = asyncio.ensure_future(self._read(socket))
                try:
                    await self._speak(socket, reading)
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        except ConnectionClosed as exc:
            raise EngineError(f"the server ended the conversation: {exc.reason or exc}") from exc
        except (OSError, InvalidHandshake) as exc:
            raise EngineAway(f"{url} cannot be reached: {exc}") from exc

    async def _speak(self, socket: ClientConnection, reading: asyncio.Future[None]) -> None:
        async with aclosing(self._microphone.blocks()) as blocks:
            async for block in blocks:
                if reading.done():
                    reading.result()
                self._began_s = self._began_s or time.monotonic()
                audio = base64.b64encode(block).decode()
                await self._send(socket, "input_audio_buffer.append", audio=audio)
                self._idle(not (self._answering or self._speaker.busy))

    async def _read(self, socket: ClientConnection) -> None:
        async for frame in socket:
            await self._take(socket, json.loads(frame))

    async def _take(self, socket: ClientConnection, event: dict[str, Any]) -> None:
        match event["type"]:
            case "input_audio_buffer.speech_started":
                await self._interrupted(socket)
            case "input_audio_buffer.speech_stopped":
                last_word_ms = event["audio_end_ms"] - PAUSE_MS
                self._ended_s = self._began_s + last_word_ms / 1000
                self.turns.append(TurnTimes(noticed_s=self._elapsed_s()))
                self._answering = True
            case "conversation.item.input_audio_transcription.completed" if self.turns:
                self.turns[-1].heard = event["transcript"]
                self._told("you", event["transcript"])
            case "response.output_audio_transcript.delta" if self.turns:
                turn = self.turns[-1]
                turn.first_text_s = turn.first_text_s or self._elapsed_s()
                turn.said += event["delta"]
            case "response.output_audio.delta" if self.turns:
                turn = self.turns[-1]
                turn.first_sound_s = turn.first_sound_s or self._elapsed_s()
                samples = np.frombuffer(base64.b64decode(event["delta"]), "<i2")
                self._speaker.play(event["item_id"], samples)
            case "response.done":
                self._answering = False
                if self.turns:
                    self.turns[-1].cut = event["response"]["status"] == "cancelled"
                    self._told("it", self.turns[-1].said)
            case "error":
                self._told("error", event["error"]["message"])
            case _:
                pass

    async def _interrupted(self, socket: ClientConnection) -> None:
        """Silence, and the server forgets what was not heard."""
        heard = self._speaker.stop()
        if heard:
            item_id, ms = heard
            where = {"item_id": item_id, "content_index": 0, "audio_end_ms": ms}
            await self._send(socket, "conversation.item.truncate", **where)
            if self.turns:
                self.turns[-1].cut = True

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._ended_s

    @staticmethod
    async def _send(socket: ClientConnection, type_: str, **fields: Any) -> None:
        await socket.send(json.dumps({"type": type_, **fields}))
