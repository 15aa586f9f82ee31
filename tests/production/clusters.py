"""All services of docker-compose.yaml, started together."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.production.processes import HOST, Topology, postgres_program, topology

AIRFLOW = ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")


class MetricsSink(BaseHTTPRequestHandler):
    """Takes metrics, and remembers where they were sent."""

    paths: list[str] = []  # noqa: RUF012 - the class is the memory

    def do_POST(self) -> None:
        """Take one."""
        self.paths.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


def can_run() -> bool:
    """Whether this machine has the programs that are not Python's."""
    return bool(shutil.which("redis-server") and postgres_program("initdb"))


@contextlib.contextmanager
def cluster(
    secrets: Mapping[str, str], workers: tuple[str, ...], **environment: str
) -> Iterator[Topology]:
    """All services but the proxy, until they answer; every process is ended.

    Parameters
    ----------
    secrets
        The variables of the compose file.
    workers
        Names of the Celery workers.
    environment
        What Airflow's services are told besides.
    """
    # Others have to reach it: Postgres runs as another user.
    with tempfile.TemporaryDirectory(prefix="production-") as folder:
        Path(folder).chmod(0o755)
        with topology(Path(folder), secrets) as made:
            sink = ThreadingHTTPServer((HOST, made.ports["prometheus"]), MetricsSink)
            threading.Thread(target=sink.serve_forever, daemon=True).start()
            made.start_data_services()
            # Twice: it is safe to repeat.
            made.run("init")
            made.run("init")
            made.start("mlflow")
            made.start("airflow-api-server", **environment)
            for name in AIRFLOW:
                made.start(name, **environment)
            for name in workers:
                made.start("worker", name, "--celery-hostname", f"{name}@{HOST}", **environment)
            made.start("serving", MODEL_LOOP_SERVING_PORT=str(made.ports["serving"]))
            made.wait(f"{made.url('mlflow')}/health")
            made.wait(f"{made.url('airflow-api-server')}/api/v2/version")
            made.wait(f"{made.url('serving')}/healthz")
            yield made
            sink.shutdown()
