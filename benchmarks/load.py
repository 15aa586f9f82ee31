"""A bounded load generator on loopback: HTTP/1.1 with kept connections, in a process of its own.

Two modes. Full speed: every connection sends its next request when the answer to the last has come.
At a rate: requests are due at even distances, as wrk2 sends them, and what is measured begins when
a request was due, not when it could be sent, so that a server that stalls cannot hide it.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

SETTLE_SECONDS = 0.5
#: Seconds to wait for requests that are on their way in the end.
_PATIENCE_SECONDS = 2.5
_LAST_TRIES = 50


@dataclass(frozen=True)
class Load:
    """Requests, and how often they are made.

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
        return [
            head + f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies
        ]


@dataclass(frozen=True)
class LoadOutcome:
    """Outcome of a load; milliseconds and requests per second."""

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
        if (status := _whole(self.buffer)) is not None:
            body = self.buffer.partition(b"\r\n\r\n")[2]
            self.buffer = b""
            self.on_answer(self, status, body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """A connection that the server closes ends the measurement."""
        if self.due:
            self.on_answer(self, 0, b"")


async def run(load: Load, on_body: Callable[[int, bytes], None] = lambda *_: None) -> LoadOutcome:
    """Put load on a server."""
    driver = _Driver(load, on_body)
    made = await driver.connect()
    await driver.at_full_speed(made)
    for _ in range(_LAST_TRIES):
        if not any(connection.due for connection in made):
            break
        await asyncio.sleep(_PATIENCE_SECONDS / _LAST_TRIES)
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

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        """Note an answer, and let its connection go on."""
        now = time.perf_counter()
        if connection.due >= self.started:
            self.latencies.append(now - connection.due)
            self.statuses[status] += 1
            self.on_body(status, body)
        connection.due = 0.0
        if status and now < self.ends:
            connection.send(next(self.requests), now)

    def outcome(self, open_still: int) -> LoadOutcome:
        """Return the outcome."""
        return _outcome(self.load, self.statuses, self.latencies, open_still)


def _outcome(
    load: Load, statuses: collections.Counter[int], latencies: list[float], open_still: int
) -> LoadOutcome:
    good = statuses[200]
    milliseconds = np.asarray(latencies or [np.nan]) * 1_000
    p50, p99, p999 = (float(np.percentile(milliseconds, q)) for q in (50, 99, 99.9))
    failed = sum(statuses.values()) - good + open_still
    return LoadOutcome(good, failed, good / load.seconds, p50, p99, p999)


def run_at_a_rate(load: Load) -> LoadOutcome:
    """Put load on a server, evenly.

    An event loop looks at its clock once in a millisecond: requests would come in bursts, and wait
    for each other.
    """
    requests, parts = itertools.cycle(load.requests()), urlsplit(load.url)
    place = (parts.hostname or "", parts.port or 80)
    made = [socket.create_connection(place) for _ in range(load.connections)]
    for one in made:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    idle, waiting = collections.deque(made), collections.deque[float]()
    busy: dict[socket.socket, float] = {}
    read = dict.fromkeys(made, b"")
    statuses: collections.Counter[int] = collections.Counter()
    latencies: list[float] = []
    due = time.perf_counter()
    counted = due + SETTLE_SECONDS
    ends = counted + load.seconds
    patience = ends + _PATIENCE_SECONDS
    while (now := time.perf_counter()) < ends or ((busy or waiting) and now < patience):
        while due <= min(now, ends):
            waiting.append(due)
            due += 1 / load.rate
        while waiting and idle:
            one = idle.popleft()
            busy[one] = waiting.popleft()
            one.sendall(next(requests))
        until = due if now < ends else patience
        for one in select.select(busy, (), (), max(until - now, 0.0))[0]:
            data = one.recv(65_536)
            read[one] += data
            status = _whole(read[one]) if data else 0
            if status is None:
                continue
            if busy[one] >= counted:
                latencies.append(time.perf_counter() - busy[one])
                statuses[status] += 1
            del busy[one]
            read[one] = b""
            if status:
                idle.append(one)
    for one in made:
        one.close()
    # A request that was due and never sent has failed, too.
    return _outcome(load, statuses, latencies, len(busy) + len(waiting))


def _whole(answer: bytes) -> int | None:
    """The status of an answer; None as long as a part of it is missing."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return None
    at = head.lower().find(b"content-length:")
    length = int(head[at + 15 :].split(b"\r\n", 1)[0])
    return int(head[9:12]) if len(body) >= length else None


def main() -> None:
    """Read a load as JSON from standard input, and write its outcome to standard output."""
    import uvloop

    load = Load(**json.load(sys.stdin))
    print(json.dumps(asdict(run_at_a_rate(load) if load.rate else uvloop.run(run(load)))))


if __name__ == "__main__":
    main()
