"""Real servers for tests, on free ports of this machine."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import requests
import uvicorn
from mlflow import MlflowClient
from sqlalchemy import Engine, event
from tests.commands import FORKS

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
    """An MLflow server that keeps everything in a folder.

    It is forked from a process that has imported its libraries; the command `mlflow server` would
    import them twice, for seven seconds. Stacks of Airflow start the command itself.
    """
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    if not (folder / "mlflow.db").exists():
        tracking_database(folder / "mlflow.db")
    server = FORKS.Process(target=_serve_mlflow, args=(folder, port, log, dict(os.environ)))
    server.start()
    try:
        wait_for(f"{url}/health", server, log)
        yield url
    finally:
        server.terminate()
        server.join(timeout=30)


def _serve_mlflow(folder: Path, port: int, log: Path, environment: dict[str, str]) -> None:
    """Serve what a folder keeps, as `mlflow server` does in its one worker."""
    with log.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    # By these its command hands its options over.
    os.environ.update(
        {
            **environment,
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / 'mlflow.db'}",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
    )

    @event.listens_for(Engine, "connect")
    def _write_without_waiting(connection: sqlite3.Connection, _: object) -> None:
        """No test cuts the power."""
        connection.execute("PRAGMA synchronous=OFF")

    uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=port)


def wait_for(url: str, server: subprocess.Popen[bytes] | BaseProcess, log: Path) -> None:
    """Wait until a server answers; fail with the end of its log, and end it, if it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and _ended(server) is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=2).ok:
                return
        time.sleep(0.05)
    server.kill()
    message = f"{url} did not answer:\n{log.read_text()[-2000:]}"
    raise RuntimeError(message)


def _ended(server: subprocess.Popen[bytes] | BaseProcess) -> int | None:
    """Return the exit code of a process that has ended."""
    return server.poll() if isinstance(server, subprocess.Popen) else server.exitcode
