"""Headers without an end, from somebody without a token, cost a server nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tests.servers import free_port, wait_for

#: Beyond what the kernel takes for a server that reads no more.
MUCH = 60_000_000
#: A server that copies what it has of a header with each further piece is silent for longer.
SECONDS = 2.0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server as a user starts it, without a registry."""
    folder, port = tmp_path_factory.mktemp("bounded"), free_port()
    environment = {
        **os.environ,
        "TRIP_DURATION_STATE": str(folder),
        "TRIP_DURATION_TRACKING_URI": "http://127.0.0.1:9",
        "TRIP_DURATION_SERVING_PORT": str(port),
    }
    program, log = Path(sys.executable).parent / "trip-duration", folder / "serve.log"
    with log.open("w") as out:
        server = subprocess.Popen([program, "serve"], env=environment, stdout=out, stderr=out)
    wait_for(f"http://127.0.0.1:{port}/healthz", server, log)
    yield port
    server.terminate()
    server.wait(timeout=30)


CHUNKED = b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
#: What begins a request, and the piece that follows it without an end.
ENDLESS = {
    "one header": (b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ", b"a" * 65_536),
    "many headers": (b"GET /healthz HTTP/1.1\r\nhost: a\r\n", b"x: 1\r\n" * 10_000),
    "a path": (b"GET /", b"a" * 65_536),
    "a trailer": (CHUNKED + b"0\r\nx: ", b"a" * 65_536),
    "many trailers": (CHUNKED + b"0\r\n", b"x: 1\r\n" * 10_000),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_has_no_end_is_ended(port: int, kind: str) -> None:
    """The connection is closed, and others are answered meanwhile."""
    begin, piece = ENDLESS[kind]
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(begin)
        # The kernel says that the server has closed it as a reset or a broken pipe.
        with contextlib.suppress(ConnectionError):
            while sent < MUCH:
                client.sendall(piece)
                sent += len(piece)
    assert sent < MUCH
    began = time.monotonic()
    assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=20).ok
    assert time.monotonic() - began < SECONDS


def test_large_headers_are_refused_in_words(port: int) -> None:
    """Beyond the bound comes 431; below it, nobody notices."""
    for size, status in ((30_000, b"200"), (90_000, b"431")):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: ")
            client.sendall(b"a" * size)
            if status == b"200":
                client.sendall(b"\r\n\r\n")
            answer = client.makefile("rb").read()
        assert answer.split()[1] == status
        if status == b"431":
            assert b"have more than 65,536 bytes" in answer
