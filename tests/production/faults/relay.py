"""A network that can be broken: what passes between two services goes through here."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

HOST = "127.0.0.1"
_CHUNK = 65_536


class Weather(Enum):
    """How a network is."""

    FINE = auto()
    #: Nobody is there: connections break, new ones are closed at once.
    CUT = auto()
    #: Nothing comes through, and nobody is told; what was sent comes later.
    SILENT = auto()
    #: Requests arrive and are acted upon; instead of the answer, the connection breaks.
    DEAF = auto()
    #: Long requests break off in the middle.
    TORN = auto()
    #: Everything takes longer.
    SLOW = auto()


class BrokenLinkError(ConnectionError):
    """The weather has broken a connection."""


@dataclass
class Relay:
    """Passes connections on to a service, as the weather lets it.

    Parameters
    ----------
    door
        Port that clients know.
    port
        Of the service.
    weather
        How the network is now.
    slow_seconds
        SLOW: how long each piece is held.
    torn_bytes
        TORN: after how many bytes of a request it breaks.
    lose
        The answer to the next request that holds this is lost, in any weather; empty for none.
    """

    door: int
    port: int
    weather: Weather = Weather.FINE
    slow_seconds: float = 0.2
    torn_bytes: int = 20_000
    lose: bytes = b""
    #: Address of the door.
    host: str = HOST
    #: How many connections were broken.
    broken: int = 0
    #: What this weather has met: pieces held, slowed or torn, connections broken or refused.
    met: int = 0
    _links: set[asyncio.Task[None]] = field(default_factory=set)
    _audible: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Begin to take connections."""
        self._audible.set()
        await asyncio.start_server(self._link, self.host, self.door, backlog=512)

    async def change(self, weather: Weather) -> None:
        """Let the weather change; a cut breaks what is connected."""
        self.weather, self.met = weather, 0
        if weather is Weather.SILENT:
            self._audible.clear()
        else:
            self._audible.set()
        if weather is Weather.CUT:
            for link in [*self._links]:
                self.met += 1
                link.cancel()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            if self.weather is Weather.CUT:
                self.met += 1
            else:
                await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            self.broken += 1
        finally:
            self._links.discard(link)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self.port)
        lost = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, back, lost, answers=False))
                both.create_task(self._pump(there, writer, lost, answers=True))
        except* OSError as errors:
            raise BrokenLinkError from errors
        finally:
            back.transport.abort()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        lost: asyncio.Event,
        *,
        answers: bool,
    ) -> None:
        since_fine = 0
        while data := await source.read(_CHUNK):
            if not answers and self.lose and self.lose in data:
                self.lose = b""
                lost.set()
            if answers and lost.is_set():
                raise BrokenLinkError
            since_fine = 0 if self.weather is Weather.FINE else since_fine + len(data)
            await self._stand(since_fine, answers=answers)
            target.write(data)
            await target.drain()
        with contextlib.suppress(OSError):
            target.write_eof()

    async def _stand(self, sent: int, *, answers: bool) -> None:
        """Do to a piece what the weather does."""
        deaf = self.weather is Weather.DEAF and answers
        torn = self.weather is Weather.TORN and not answers and sent > self.torn_bytes
        self.met += self.weather in {Weather.SILENT, Weather.SLOW} or deaf or torn
        await self._audible.wait()
        if self.weather is Weather.SLOW:
            await asyncio.sleep(self.slow_seconds)
        if deaf or torn:
            raise BrokenLinkError


class Network:
    """All relays, on a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self.relays: dict[str, Relay] = {}

    def lead(self, service: str, door: int, port: int, host: str = HOST) -> Relay:
        """Open a relay to a service."""
        relay = self.relays[service] = Relay(door, port, host=host)
        self._run(relay.open())
        return relay

    def change(self, service: str, weather: Weather) -> None:
        """Let the weather of a service change."""
        self._run(self.relays[service].change(weather))

    def met(self, service: str) -> bool:
        """Whether the present weather of a service has met anything yet."""
        return self.relays[service].met > 0

    def close(self) -> None:
        """End the thread; what is connected breaks."""

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)
