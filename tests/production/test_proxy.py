"""The proxy's own rules under attack: the shipped file, a real Caddy, two real servers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from tests.production.compose import ROOT
from tests.production.names import name_server
from tests.production.programs import BIN
from tests.servers import free_port, wait_for

HOSTS = ("127.0.0.1", "127.0.0.2")
HOST = HOSTS[0]
SECONDS = 6
#: In which a body has to reach the proxy whole.
BODY_SECONDS = 2
#: For which a slow body is sent, if nobody cuts it.
MOST_SECONDS = 8.0
#: A chunk whose size is no number: the server refuses it and closes the connection.
BROKEN = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"
)
#: Answers each whole request with its length, /awaited with the number of those that are not whole,
#: /refused before the body has come; gives a request as many seconds as it is told.
SERVER = """
import sys
import uvicorn
from model_loop.serving.http.bounds import bounded

awaited = 0

async def app(scope, receive, send):
    global awaited
    size, more = 0, scope["path"] not in ("/refused", "/awaited")
    awaited += more
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        awaited -= not more
    size = awaited if scope["path"] == "/awaited" else size
    status = 401 if scope["path"] == "/refused" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})

http = bounded(float(sys.argv[3]))
host, port = sys.argv[1], int(sys.argv[2])
uvicorn.run(app, http=http, host=host, port=port, lifespan="off", log_level="error")
"""


@contextlib.contextmanager
def process(folder: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block; its log is in the folder."""
    with (folder / "log").open("a") as log:
        own = {**os.environ, **environment}
        made = subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True)
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(made.pid, signal.SIGTERM)
        made.wait(timeout=30)


@contextlib.contextmanager
def proxied(
    folder: Path, read_seconds: float = 60.0
) -> Iterator[tuple[int, list[subprocess.Popen[bytes]]]]:
    """The port of the site of the predictions, and the two servers behind it."""
    server, site = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        command = (sys.executable, "-c", SERVER)
        servers = [
            stack.enter_context(process(folder, *command, host, str(server), str(read_seconds)))
            for host in HOSTS
        ]
        for host, one in zip(HOSTS, servers, strict=True):
            wait_for(f"http://{host}:{server}/", one, folder / "log")
        resolver = stack.enter_context(name_server(HOSTS))
        rules = (ROOT / "deploy" / "proxy" / "Caddyfile").read_text()
        file = folder / "Caddyfile"
        rules = rules.replace("refresh 5s", f"refresh 5s\n\t\t\tresolvers {resolver}")
        file.write_text(rules.replace("127.0.0.1:2020", f"127.0.0.1:{free_port()}"))
        others = {f"{name}_ADDRESS": f"http://:{free_port()}" for name in ("AIRFLOW", "MLFLOW")}
        caddy = stack.enter_context(
            process(
                folder,
                *(str(BIN / "caddy"), "run", "--adapter", "caddyfile", "--config", str(file)),
                **others,
                BODY_TIMEOUT=f"{BODY_SECONDS}s",
                SERVING_ADDRESS=f"http://:{site}",
                SERVING_NAME="serving.",
                SERVING_PORT=str(server),
                XDG_DATA_HOME=str(folder),
            )
        )
        wait_for(f"http://{HOST}:{site}/", caddy, folder / "log")
        yield site, servers


def answers(site: int, seconds: float) -> list[int]:
    """What requests that are whole are answered with, one after another."""
    found, end = list[int](), time.monotonic() + seconds
    while time.monotonic() < end:
        found.append(
            requests.post(f"http://{HOST}:{site}/predict", data=b"{}", timeout=30).status_code
        )
    return found


def attack(site: int, stopped: threading.Event) -> None:
    """Send a broken request four times a second."""
    while not stopped.wait(0.25):
        with socket.create_connection((HOST, site), timeout=10) as one:
            one.sendall(BROKEN)
            with contextlib.suppress(OSError):
                one.recv(1_000)


def test_broken_requests_take_no_server_away(tmp_path: Path) -> None:
    """Whole requests are answered while others send what every server refuses."""
    with proxied(tmp_path) as (site, _):
        stopped = threading.Event()
        attacker = threading.Thread(target=attack, args=(site, stopped))
        attacker.start()
        found = answers(site, SECONDS)
        stopped.set()
        attacker.join()
    assert len(found) > SECONDS
    assert set(found) == {200}


def test_a_server_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    """The other one answers everything at once."""
    with proxied(tmp_path) as (site, servers):
        os.killpg(servers[1].pid, signal.SIGKILL)
        servers[1].wait()
        found = answers(site, 3)
    assert len(found) > 3
    assert set(found) == {200}


SLOW = {
    "with a length": (b"Content-Length: 99999", b" "),
    "with a large length": (b"Content-Length: 999999", b" "),
    "in chunks": (b"Transfer-Encoding: chunked", b"1\r\n \r\n"),
}


def trickle(site: int, path: str, kind: str, most: float) -> tuple[float, bytes]:
    """Send a body piece by piece; after how many seconds it was cut, and with what answer."""
    length, piece = SLOW[kind]
    answer, began = b"", time.monotonic()
    with socket.create_connection((HOST, site), timeout=10) as client:
        client.sendall(b"POST %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (path.encode(), length))
        client.settimeout(0.1)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < most:
                client.sendall(piece)
                with contextlib.suppress(TimeoutError):
                    told = client.recv(1_000)
                    if not told:
                        break
                    answer += told
    return time.monotonic() - began, answer


@pytest.mark.parametrize(
    ("path", "status", "seconds"), [("/predict", b"408", 1.0), ("/refused", b"401", 0.0)]
)
def test_a_slow_body_is_cut(tmp_path: Path, path: str, status: bytes, seconds: float) -> None:
    """The server's answer comes when it is given, and with it the end of the connection."""
    with proxied(tmp_path, read_seconds=1.0) as (site, _), ThreadPoolExecutor() as pool:
        slow = {kind: pool.submit(trickle, site, path, kind, MOST_SECONDS) for kind in SLOW}
        assert set(answers(site, 0.5)) == {200}
        found = {kind: one.result() for kind, one in slow.items()}
    assert {answer.split()[1] for _, answer in found.values()} == {status}
    assert all(seconds <= lasted < MOST_SECONDS for lasted, _ in found.values()), found


def test_a_slow_body_holds_no_server(tmp_path: Path) -> None:
    """The proxy gives it up even where the server behind would wait."""
    with proxied(tmp_path) as (site, _), ThreadPoolExecutor() as pool:
        for kind in SLOW:
            pool.submit(trickle, site, "/predict", kind, 3.0 * BODY_SECONDS)
        began, found = time.monotonic(), list[tuple[float, int]]()
        while time.monotonic() - began < 2.5 * BODY_SECONDS:
            # In turn: one answer of each server.
            told = [requests.get(f"http://{HOST}:{site}/awaited", timeout=30).text for _ in HOSTS]
            found.append((time.monotonic() - began, sum(map(int, told))))
            time.sleep(0.2)
    assert max(awaited for _, awaited in found) == len(SLOW)
    assert found[-1][1] == 0
