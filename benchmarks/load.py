"""A bounded load generator on loopback: HTTP/1.1 with kept connections, in a process of its own.

Two modes. Full speed: every connection sends its next request when the answer to the last has come.
At a rate: requests are due at fixed times, and what is measured begins when a request was due, not
when it could be sent, so that a server that stalls cannot hide it.
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
    loop, requests = asyncio.get_running_loop(), itertools.cycle(load.requests())
    parts = urlsplit(load.url)
    latencies: list[float] = []
    statuses: collections.Counter[int] = collections.Counter()
    idle: collections.deque[Connection] = collections.deque()
    waiting: collections.deque[float] = collections.deque()
    started = time.perf_counter() + SETTLE_SECONDS
    ends = started + load.seconds

    def answered(connection: Connection, status: int, body: bytes) -> None:
        now = time.perf_counter()
        if connection.due >= started:
            latencies.append(now - connection.due)
            statuses[status] += 1
            on_body(status, body)
        connection.due = 0.0
        if not status or now >= ends:
            return
        if not load.rate:
            connection.send(next(requests), now)
        elif waiting:
            connection.send(next(requests), waiting.popleft())
        else:
            idle.append(connection)

    made = [
        (await loop.create_connection(lambda: Connection(answered), parts.hostname, parts.port))[1]
        for _ in range(load.connections)
    ]
    if load.rate:
        idle.extend(made)
        due = time.perf_counter()
        while due < ends:
            now = time.perf_counter()
            while due <= now:
                if idle:
                    idle.popleft().send(next(requests), due)
                else:
                    waiting.append(due)
                due += 1 / load.rate
            # Sleeping is exact to a millisecond at most: the last of it is spent in turns.
            await asyncio.sleep(max(due - now - 0.001, 0))
    else:
        for connection in made:
            connection.send(next(requests), time.perf_counter())
        await asyncio.sleep(ends - time.perf_counter())
    for _ in range(50):
        if not any(connection.due for connection in made):
            break
        await asyncio.sleep(0.05)
    open_still = sum(bool(connection.due) for connection in made)
    for connection in made:
        connection.due = 0.0
        connection.transport.close()
    good = statuses[200]
    milliseconds = np.asarray(latencies or [np.nan]) * 1_000
    p50, p99, p999 = (float(np.percentile(milliseconds, q)) for q in (50, 99, 99.9))
    failed = sum(statuses.values()) - good + open_still
    return Outcome(good, failed, good / load.seconds, p50, p99, p999)


def main() -> None:
    """Read a load as JSON from standard input, and write its outcome to standard output."""
    import uvloop

    load = Load(**json.load(sys.stdin))
    print(json.dumps(asdict(uvloop.run(run(load)))))


if __name__ == "__main__":
    main()
