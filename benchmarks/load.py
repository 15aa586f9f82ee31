"""A bounded load generator on loopback: HTTP/1.1 with kept connections, in a process of its own.

Two modes. Full speed: every connection sends its next request when the answer to the last has come.
At a rate: every millisecond some requests are due, and what is measured begins when a request was
due, not when a connection was free for it, so that a server that stalls cannot hide it.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

SETTLE_SECONDS = 0.5
_LAST_TRIES = 50


@dataclass(frozen=True)
class Load:
    """What is asked, and how often.

    Parameters
    ----------
    url, method, headers
        The request.
    bodies
        Its bodies, in turn.
    seconds
        How long.
    connections
        How many are open.
    rate
        Requests per second; 0 is full speed.
    """

    url: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    bodies: tuple[str, ...] = ("",)
    seconds: float = 4.0
    connections: int = 16
    rate: float = 0.0

    def requests(self) -> list[bytes]:
        """The bytes of the requests."""
        parts = urlsplit(self.url)
        lines = [f"{self.method} {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        head = "\r\n".join(lines).encode()
        bodies = [body.encode() for body in self.bodies]
        return [head + f"\r\nContent-Length: {len(one)}\r\n\r\n".encode() + one for one in bodies]


@dataclass(frozen=True)
class Outcome:
    """What came of it; milliseconds and requests per second."""

    requests: int
    failed: int
    per_second: float
    p50: float
    p99: float
    p999: float


class Connection(asyncio.Protocol):
    """One connection, with at most one request on its way."""

    def __init__(self, on_answer: Callable[[Connection, int, bytes], None]) -> None:
        self.on_answer = on_answer
        self.due = 0.0
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = transport

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at a time."""
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self.buffer = b""
            self.on_answer(self, int(head[9:12]), body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """A connection that the server closes ends the measurement."""
        if self.due:
            self.on_answer(self, 0, b"")


async def run(load: Load, on_body: Callable[[int, bytes], None] = lambda *_: None) -> Outcome:
    """Put load on a server."""
    driver = _Driver(load, on_body)
    made = await driver.connect()
    await (driver.at_a_rate(made) if load.rate else driver.at_full_speed(made))
    for _ in range(_LAST_TRIES):
        if not any(connection.due for connection in made):
            break
        await asyncio.sleep(0.05)
    open_still = sum(bool(connection.due) for connection in made)
    for connection in made:
        connection.due = 0.0
        connection.transport.close()
    return driver.outcome(open_still)


class _Driver:
    """Sends requests, and notes the answers."""

    def __init__(self, load: Load, on_body: Callable[[int, bytes], None]) -> None:
        self.load = load
        self.on_body = on_body
        self.requests = itertools.cycle(load.requests())
        self.latencies: list[float] = []
        self.statuses: collections.Counter[int] = collections.Counter()
        self.idle: collections.deque[Connection] = collections.deque()
        self.waiting: collections.deque[float] = collections.deque()
        self.started = time.perf_counter() + SETTLE_SECONDS
        self.ends = self.started + load.seconds

    async def connect(self) -> list[Connection]:
        """Open all connections."""
        loop, parts = asyncio.get_running_loop(), urlsplit(self.load.url)
        host, port = parts.hostname or "", parts.port or 80
        return [
            (await loop.create_connection(lambda: Connection(self.answered), host, port))[1]
            for _ in range(self.load.connections)
        ]

    async def at_full_speed(self, made: list[Connection]) -> None:
        """Each connection sends as soon as it can."""
        for connection in made:
            connection.send(next(self.requests), time.perf_counter())
        await asyncio.sleep(self.ends - time.perf_counter())

    async def at_a_rate(self, made: list[Connection]) -> None:
        """Every millisecond, as many are due as the rate says."""
        self.idle.extend(made)
        began = now = time.perf_counter()
        sent = 0
        while now < self.ends:
            due = int((now - began) * self.load.rate) - sent
            sent += due
            for _ in range(due):
                if self.idle:
                    self.idle.popleft().send(next(self.requests), now)
                else:
                    self.waiting.append(now)
            await asyncio.sleep(0.001)
            now = time.perf_counter()

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        """Note an answer, and let its connection go on."""
        now = time.perf_counter()
        if connection.due >= self.started:
            self.latencies.append(now - connection.due)
            self.statuses[status] += 1
            self.on_body(status, body)
        connection.due = 0.0
        if not status or now >= self.ends:
            return
        if not self.load.rate:
            connection.send(next(self.requests), now)
        elif self.waiting:
            connection.send(next(self.requests), self.waiting.popleft())
        else:
            self.idle.append(connection)

    def outcome(self, open_still: int) -> Outcome:
        """What came of it."""
        good = self.statuses[200]
        milliseconds = np.asarray(self.latencies or [np.nan]) * 1_000
        p50, p99, p999 = (float(np.percentile(milliseconds, q)) for q in (50, 99, 99.9))
        failed = sum(self.statuses.values()) - good + open_still
        return Outcome(good, failed, good / self.load.seconds, p50, p99, p999)


def main() -> None:
    """Read a load as JSON from standard input, and write its outcome to standard output."""
    import uvloop

    load = Load(**json.load(sys.stdin))
    print(json.dumps(asdict(uvloop.run(run(load)))))


if __name__ == "__main__":
    main()
