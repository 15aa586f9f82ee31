"""Headers without an end, and requests that come slowly, cost a server nothing."""

from __future__ import annotations

import contextlib
import http.client
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

from model_loop.serving.http.tokens import TokenFile

#: Beyond what the kernel takes for a server that reads no more.
MUCH = 60_000_000
#: A server that copies what it has of a header with each further piece is silent for longer.
SECONDS = 2.0
#: In which a request has to be whole.
READ_SECONDS = 1.5


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server."""
    return tmp_path_factory.mktemp("bounded")


@pytest.fixture(scope="module")
def port(state: Path) -> Iterator[int]:
    """A server as a user starts it, without a registry."""
    folder, port = state, free_port()
    environment = {
        **os.environ,
        "MODEL_LOOP_STATE": str(folder),
        "MODEL_LOOP_TRACKING_URI": "http://127.0.0.1:9",
        "MODEL_LOOP_SERVING_PORT": str(port),
        "MODEL_LOOP_SERVING_READ_SECONDS": str(READ_SECONDS),
    }
    program, log = Path(sys.executable).parent / "model-loop", folder / "serve.log"
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
    """Headers above the bound get 431, those below it are accepted."""
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


def rest_of(client: socket.socket) -> bytes:
    """Read what a server sends until it closes the connection."""
    told = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65_536):
            told += piece
    return told


def test_requests_behind_one_another_are_answered(port: int) -> None:
    """As many as a program sends that does not wait for each answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(WHOLE * 99 + WHOLE.replace(b"host: a", b"host: a\r\nconnection: close"))
        assert rest_of(client).count(b"HTTP/1.1 200") == 100


def test_thousands_of_requests_at_once_hold_up_nobody(port: int) -> None:
    """A connection that sends more than may wait is closed, before they cost anything."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            for _ in range(20)
        ]
        for client in clients:
            client.settimeout(0)
            with contextlib.suppress(ConnectionError):
                client.send(WHOLE * 7_000)
        began = time.monotonic()
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=30).ok
        assert time.monotonic() - began < SECONDS
        for client in clients:
            client.settimeout(20)
            assert rest_of(client).count(b"HTTP/1.1 200") <= 101


@pytest.mark.parametrize("asked", [b"CONNECT a:80", b"CONNECT a", b"GET http://[::1", b"GET //["])
def test_an_address_that_is_none_is_refused(port: int, state: Path, asked: bytes) -> None:
    """Like every malformed request, and without a trace in the log."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(asked + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert rest_of(client).startswith(b"HTTP/1.1 4")
    assert "Traceback" not in (state / "serve.log").read_text()


LENGTH = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n"
WHOLE = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture(scope="module")
def bearer(state: Path) -> bytes:
    """A valid Authorization header: other callers are refused before the body."""
    tokens = TokenFile(state / "serving" / "tokens.json")
    return f"authorization: Bearer {tokens.add('tests')}\r\n".encode()


#: What begins a request, the pieces that follow it, and whether 408 says why it was ended.
SLOW = {
    "nothing": (b"", b"", b""),
    "empty lines": (b"\r\n", b"\r\n", b""),
    "a path": (b"GET /", b"a", b"408"),
    "a header": (b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ", b"a", b"408"),
    "a body": (LENGTH + b"BEARER\r\n", b" ", b"408"),
    "no body": (LENGTH + b"BEARER\r\n", b"", b"408"),
    "chunks": (CHUNKED.replace(b"a\r\n", b"a\r\nBEARER", 1), b"1\r\n \r\n", b"408"),
    "a body without a token": (LENGTH + b"\r\n", b" ", b"401"),
    "a header behind a whole request": (WHOLE + b"GET /", b"a", b"200"),
    "empty lines behind a whole request": (WHOLE, b"\r\n", b"200"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_what_comes_slowly_is_ended(port: int, bearer: bytes, kind: str) -> None:
    """A request has a time in which it has to be whole, however steadily it comes."""
    begin, piece, status = SLOW[kind]
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(begin.replace(b"BEARER", bearer))
        client.settimeout(0.1)
        began = time.monotonic()
        while time.monotonic() - began < 4 * READ_SECONDS:
            with contextlib.suppress(TimeoutError):
                try:
                    client.sendall(piece)
                    told = client.recv(1_000)
                except ConnectionError:
                    break
                if not told:
                    break
                answer += told
    assert READ_SECONDS * 0.8 < time.monotonic() - began < 3 * READ_SECONDS
    assert answer.split()[1:2] == ([status] if status else [])
    if status == b"408":
        assert b"had not arrived whole after 1.5 seconds" in answer


def test_one_connection_asks_for_longer(port: int) -> None:
    """The time is that of a request, not that of a connection."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.connect()
    own = client.sock.getsockname()
    for _ in range(6):
        client.request("GET", "/healthz")
        assert client.getresponse().read()
        time.sleep(READ_SECONDS / 3)
        assert client.sock.getsockname() == own
    client.close()
