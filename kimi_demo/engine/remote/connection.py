"""The way to one server.

All requests run on one event loop, on a thread of its own: there a request can be dropped at any
moment, while it connects, waits or is answered, and the server sees at once that nobody listens.
"""

from __future__ import annotations

import json
import queue
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx
from anyio.from_thread import start_blocking_portal

from kimi_demo.errors import AccessError, EngineAway, EngineError, InputError, KimiError
from kimi_demo.events import AudioDelta, Event, Queued, Stepped, TextDelta
from kimi_demo.messages import CODES_PER_S
from kimi_demo.wire.errors import told

CONNECT_S = 5.0
SILENCE_S = 600.0  # of a server in the middle of a reply
IDLE_S = 2.0  # a connection is kept so long, less than servers keep theirs
PULSE_S = 0.05  # how soon whoever waits can go away
CLOSED = "the engine is closed: start the app again"


class Connection:
    """Thread-safe. Every failure is a KimiError; none of them says the key.

    base_url: such as http://localhost:7860/v1.
    Raises: InputError for what is no address; AccessError for a key that cannot be sent.
    """

    def __init__(self, base_url: str, api_key: str = "") -> None:
        url = _address(base_url)
        self.host = url.netloc.decode()
        self.address = f"{url.scheme}://{self.host}{url.path.rstrip('/')}"
        self._key = _checked(api_key)
        self._client = _client(url, api_key)
        self._running: set[Future[None]] = set()
        self._opened = ExitStack()
        self._portal = self._opened.enter_context(start_blocking_portal())

    def get(self, path: str) -> Any:
        """The JSON behind an address; waits for it. Raises: KimiError."""
        return self._portal.call(self._get, path)

    @asynccontextmanager
    async def posted(self, path: str, **content: Any) -> AsyncGenerator[httpx.Response]:
        """The reply to a request, its body yet to be read. Leaving hangs up.

        content: json, or data and files, as httpx takes them. Raises: KimiError, here and inside.
        """
        with self._explained():
            async with self._client.stream("POST", path, **content) as response:
                if not response.is_success:
                    raise await self._refusal(response)
                yield response

    def listen(self, events: AsyncGenerator[Event, None]) -> Generator[Event, None, None]:
        """What comes of a request that runs on the loop, and pulses while nothing comes; closing
        this drops the request.

        Raises: whatever the request does; EngineError once this connection is closed.
        """
        arrivals = _Arrivals()
        try:
            task = self._portal.start_task_soon(arrivals.take_all, events)
        except RuntimeError as exc:
            raise EngineError(CLOSED) from exc
        self._running.add(task)
        try:
            yield from arrivals.until(task)
        except CancelledError as exc:
            raise EngineError(CLOSED) from exc
        finally:
            task.cancel()
            self._running.discard(task)

    def close(self) -> None:
        try:
            self._portal.call(self._hang_up)
        except RuntimeError:
            return  # it is closed
        self._opened.close()

    async def _hang_up(self) -> None:
        for task in tuple(self._running):
            task.cancel()
        await anyio.sleep(0)
        await self._client.aclose()

    async def _get(self, path: str) -> Any:
        with self._explained():
            response = await self._client.get(path)
            if not response.is_success:
                raise await self._refusal(response)
            try:
                return response.json()
            except ValueError as exc:
                raise EngineError(
                    f"{self.address} is no OpenAI-compatible server: its address often ends in /v1"
                ) from exc

    async def _refusal(self, response: httpx.Response) -> KimiError:
        if response.has_redirect_location:
            elsewhere = response.headers["location"]
            return EngineError(f"the server at {self.host} moved to {elsewhere}: use that address")
        text = (await response.aread()).decode(errors="replace")
        if self._key:
            text = text.replace(self._key, "***")
        try:
            body = json.loads(text)
        except ValueError:
            body = {}  # a page of a proxy, made for browsers
        return told(response.status_code, body, response.headers)

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as exc:
            raise EngineAway(
                f"{self.address} cannot be reached ({exc}): start the server there, or name "
                "another by --api-base"
            ) from exc
        except httpx.TimeoutException as exc:
            raise EngineError(
                f"the server at {self.host} said nothing for {SILENCE_S:.0f} s: send the request "
                "again"
            ) from exc
        except httpx.HTTPError as exc:
            raise EngineError(
                f"the connection to {self.host} broke off: send the request again"
            ) from exc


class _Arrivals:
    """Between the loop that makes events and the thread that reads them."""

    def __init__(self) -> None:
        self._arrived: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._pulse = _Pulse()

    async def take_all(self, events: AsyncGenerator[Event, None]) -> None:
        """Runs on the loop, to the end of the events or until it is cancelled."""
        async with aclosing(events):
            async for event in events:
                self._arrived.put(event)

    def until(self, task: Future[None]) -> Generator[Event, None, None]:
        """What has arrived, up to the end of the task. Raises: what the task raises."""
        task.add_done_callback(lambda _: self._arrived.put(None))
        while True:
            try:
                event = self._arrived.get(timeout=PULSE_S)
            except queue.Empty:
                yield self._pulse.event()
                continue
            if event is None:
                task.result()
                return
            self._pulse.take(event)
            yield event


class _Pulse:
    """Where the answer stands, told again while nothing comes: its place in a line that the server
    told of, then at so many tokens, as far as these can be told from outside.
    """

    def __init__(self) -> None:
        self._place = Queued(0)
        self._started = False
        self._words = 0
        self._sound_s = 0.0

    def take(self, event: Event) -> None:
        match event:
            case Queued():
                self._place = event
                return
            case TextDelta():
                self._words += 1
            case AudioDelta():
                self._sound_s += len(event.waveform) / event.sample_rate
            case _:
                pass
        self._started = True

    def event(self) -> Event:
        if not self._started:
            return self._place
        return Stepped(self._words, round(self._sound_s * CODES_PER_S))


def _client(url: httpx.URL, key: str) -> httpx.AsyncClient:
    """Raises: EngineAway if the environment names a proxy that cannot be used."""
    try:
        return httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
            limits=httpx.Limits(keepalive_expiry=IDLE_S),
        )
    except (ValueError, ImportError) as exc:
        raise EngineAway(f"the proxy that the environment names cannot be used: {exc}") from exc


def _address(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as exc:
        raise InputError(f"the server's address cannot be read: {exc}") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError("the server's address must be like http://localhost:7860/v1")
    return url


def _checked(key: str) -> str:
    if key and (not key.isascii() or key.split() != [key]):
        raise AccessError("the API key holds what no key can hold: check KIMI_API_KEY")
    return key
