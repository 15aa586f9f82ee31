"""What tests ask of running services."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import Any

import psycopg
import requests
from tests.production.processes import HOST, Topology, postgres_program

from model_loop.serving.http.tokens import TokenFile

TRIP = {
    "pickup_zone": 239,
    "dropoff_zone": 236,
    "trip_distance": 1.98,
    "pickup_at": "2024-03-01T08:00:00",
}


def ask(running: Topology, url: str) -> dict[str, Any]:
    """A prediction, as soon as there is one."""
    headers = bearer(running)
    deadline = time.monotonic() + 60
    while not (answer := requests.post(f"{url}/predict", json=TRIP, headers=headers, timeout=9)).ok:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.5)
    (said,) = answer.json()
    return dict(said)


def bearer(running: Topology) -> dict[str, str]:
    """A token that may predict, made once; that of Prometheus may only read."""
    secret = running.folder / "tests.token"
    if not secret.exists():
        secret.write_text(TokenFile(running.folder / "tokens" / "tokens.json").add("tests"))
    return {"Authorization": f"Bearer {secret.read_text()}"}


def written(running: Topology, address: str, port: int) -> float:
    """How many predictions a server has written to the request log since it started."""
    url = f"http://{address}:{port}/metrics"
    text = requests.get(url, headers=bearer(running), timeout=30).text
    (found,) = re.findall(r"^model_loop_request_log_written_total (.+)$", text, re.MULTILINE)
    return float(found)


def request_log(running: Topology, query: str) -> list[tuple[Any, ...]]:
    """What a query says of the request log."""
    login = f"postgresql://requests:{running.secrets['REQUESTS_DB_PASSWORD']}@{HOST}"
    with psycopg.connect(f"{login}:{running.ports['postgres']}/requests") as connection:
        return connection.execute(query).fetchall()


def versions(running: Topology) -> dict[str, dict[str, str]]:
    """The registered versions with their tags."""
    url = f"{running.url('mlflow')}/api/2.0/mlflow/model-versions/search"
    login = ("admin", running.secrets["MLFLOW_ADMIN_PASSWORD"])
    found = requests.get(url, auth=login, timeout=30).json()["model_versions"]
    return {
        one["version"]: {tag["key"]: tag["value"] for tag in one.get("tags", [])} for one in found
    }


def postgres(running: Topology, name: str, *options: str) -> None:
    """Run a program of Postgres as its administrator."""
    where = ["-h", HOST, "-p", str(running.ports["postgres"]), "-U", "postgres"]
    environment = {**os.environ, "PGPASSWORD": running.secrets["POSTGRES_PASSWORD"]}
    command = [str(postgres_program(name)), *where, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
