"""Today's prediction server on the serving folder of version aa3853a; see README.md."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
from sqlalchemy import select
from tests.commands import COMMAND
from tests.servers import free_port, wait_for
from tests.upgrade.conftest import Served

from model_loop.serving.request_log.queries import count_lost
from model_loop.serving.request_log.tables import feedback, open_log, predictions

pytestmark = pytest.mark.integration


@contextlib.contextmanager
def server(old: Served, **environment: str) -> Iterator[str]:
    """Run a server on the old folder; its address."""
    port = free_port()
    told = {**os.environ, **old.environment, "MODEL_LOOP_SERVING_PORT": str(port), **environment}
    log = old.stores.folder / "serve.log"
    with log.open("a") as out:
        process = subprocess.Popen([COMMAND, "serve"], env=told, stdout=out, stderr=out)
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def address(old: Served) -> Iterator[str]:
    """A server on the folder that a killed one of then has left."""
    with server(old) as address:
        yield address


def ask(old: Served, address: str, method: str, path: str, name: str, **sent: Any) -> Any:
    """Ask by the name of a token of then; the answer."""
    headers = {"Authorization": f"Bearer {old.expected['tokens'][name]}"}
    return requests.request(method, f"{address}{path}", headers=headers, timeout=60, **sent)


def test_secrets_of_then_pass(old: Served, address: str) -> None:
    """A token is good for what it was good for; one that was revoked is not."""
    trips = {"inputs": old.expected["trips"]}
    answer = ask(old, address, "POST", "/predict", "tests", json=trips)
    assert answer.status_code == 200, answer.text
    standing, versions = old.expected["standing"], old.expected["versions"]
    for place, one in enumerate(answer.json()):
        assert one["model_version"] in {standing["champion"], standing["challenger"]}
        then = float(versions[str(one["model_version"])]["minutes"][place])
        assert one["minutes"] == pytest.approx(then, abs=1e-5)
    assert ask(old, address, "GET", "/metrics", "limited").status_code == 200
    assert ask(old, address, "POST", "/predict", "revoked", json=trips).status_code == 401


def test_nothing_that_was_acknowledged_is_lost(old: Served, address: str) -> None:
    """Predictions of the log, those that a killed server has left, and losses are all there."""
    for which, one in old.expected["killed"].items():
        found = ask(old, address, "GET", f"/predictions/{which}", "tests")
        assert found.status_code == 200, found.text
        assert found.json()["minutes"] == one["minutes"]
    with open_log("", old.stores.state / "serving").connect() as connection:
        rows = connection.execute(select(predictions.c.prediction_id, predictions.c.minutes)).all()
        told = connection.execute(select(feedback.c.prediction_id, feedback.c.actual_minutes)).all()
        lost = count_lost(connection)
    logged = dict(rows)
    then = {**old.expected["prediction_rows"]}
    assert then.items() <= logged.items()
    assert old.expected["killed"].keys() <= logged.keys()
    assert len(rows) == len(logged)
    assert dict(told) == old.expected["feedback"]
    assert lost == old.expected["dropped"] > 0


def test_the_log_of_then_is_reported_and_exported(old: Served, address: str) -> None:
    """Versions are compared on the durations of then; the export holds every prediction."""
    assert address
    report = old.command("ab-report", "--days", "36500", "--json").stdout
    assert str(old.expected["standing"]["champion"]) in report
    folder = old.stores.folder / "exported"
    old.command("export-requests", str(folder))
    exported = pq.read_table(folder).column("prediction_id").to_pylist()
    assert {*old.expected["prediction_rows"], *old.expected["killed"]} <= {*exported}


def test_it_starts_without_a_tracking_server(old: Served) -> None:
    """The version that answered last answers, from the files that the old server has kept."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    with server(old, MODEL_LOOP_TRACKING_URI=nowhere) as address:
        answer = ask(
            old, address, "POST", "/predict", "tests", json={"inputs": old.expected["trips"]}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()[0]["model_version"] in old.expected["standing"].values()
