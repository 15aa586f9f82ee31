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
from pathlib import Path

import requests
from tests.production.compose import ROOT
from tests.production.names import name_server
from tests.production.programs import BIN
from tests.servers import free_port, wait_for

HOSTS = ("127.0.0.1", "127.0.0.2")
HOST = HOSTS[0]
SECONDS = 6
#: A chunk whose size is no number: the server refuses it and closes the connection.
BROKEN = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"
)
#: Answers each whole request with its length.
SERVER = """
import sys
import uvicorn

async def app(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})

uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), lifespan="off", log_level="error")
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
def proxied(folder: Path) -> Iterator[tuple[int, list[subprocess.Popen[bytes]]]]:
    """The port of the site of the predictions, and the two servers behind it."""
    server, site = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        command = (sys.executable, "-c", SERVER)
        servers = [
            stack.enter_context(process(folder, *command, host, str(server))) for host in HOSTS
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
