"""Real servers for tests, on free ports of this machine."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

START_SECONDS = 180


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mlflow.db")
        MlflowClient(f"sqlite:///{path}").search_experiments()
        return path.read_bytes()


def tracking_database(path: Path) -> str:
    """Write an empty database of MLflow's; return its address.

    It is a copy of one that MLflow has made: its migrations would take two seconds each time.
    """
    path.write_bytes(_empty_database())
    return f"sqlite:///{path}"


#: Postgres refuses to run as root.
POSTGRES_USER = "nobody" if os.geteuid() == 0 else None


@contextlib.contextmanager
def postgres_server(auth: str = "trust") -> Iterator[int]:
    """The port of an empty server of Postgres; the test is skipped where it is not installed.

    Parameters
    ----------
    auth
        The way in which users log in: `trust`, or `scram-sha-256` with the password *secret word*.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if not initdb:
        pytest.skip("needs the programs of Postgres")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "word").write_text("secret word")
        for path in (folder, f"{folder}/word"):
            shutil.chown(path, POSTGRES_USER or os.geteuid())
        place = f"{folder}/data"
        quiet = {
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "user": POSTGRES_USER,
        }
        command = [initdb, "-D", place, "-U", "tests", f"--auth={auth}", "--no-sync"]
        command += ["-E", "UTF8", f"--pwfile={folder}/word"]
        subprocess.run(command, check=True, cwd=folder, **quiet)  # type: ignore[call-overload]  # by name
        program = str(Path(initdb).with_name("postgres"))
        command = [program, "-D", place, "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
        server = subprocess.Popen(command, cwd=folder, **quiet)  # type: ignore[call-overload]  # by name
        try:
            ready = [str(Path(initdb).with_name("pg_isready")), "-h", "127.0.0.1", "-p", str(port)]
            deadline = time.monotonic() + START_SECONDS
            while subprocess.run(ready, check=False, **quiet).returncode:  # type: ignore[call-overload]  # by name
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield port
        finally:
            # At once, whoever is still connected.
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """An MLflow server that keeps everything in a folder."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", url.rpartition(":")[2]]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(f"{url}/health", server, folder / "server.log")
            yield url
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=30)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers; fail with the end of its log if it dies."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=2).ok:
                return
        time.sleep(0.2)
    message = f"{url} did not answer:\n{log.read_text()[-2000:]}"
    raise RuntimeError(message)
