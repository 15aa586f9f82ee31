"""The topology of docker-compose.yaml at work: Celery, Postgres, Redis, S3, logins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import s3fs
from dotenv import dotenv_values
from tests.production.asking import TRIP, ask, bearer, postgres, request_log, versions, written
from tests.production.clusters import MetricsSink, can_run, cluster
from tests.production.compose import ROOT
from tests.production.load import load
from tests.production.names import name_server
from tests.production.processes import HOST, Topology
from tests.servers import free_port

from model_loop.local.airflow_api import FINISHED, AirflowApi
from model_loop.production.environment import fresh_environment

pytestmark = [pytest.mark.production, pytest.mark.integration]

WORKERS = ("worker-1", "worker-2")
SERVERS = {"serving-1": HOST, "serving-2": "127.0.0.2"}
CLIENTS = 4


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    """As `make secrets` makes them."""
    found = dotenv_values(stream=StringIO(fresh_environment()))
    return {name: value or "" for name, value in found.items()}


@pytest.fixture(scope="module")
def running(secrets: dict[str, str]) -> Iterator[Topology]:
    """All services, started as the compose file says."""
    if not can_run():
        pytest.skip("needs the programs of Postgres and Redis")
    with cluster(secrets, WORKERS) as made:
        yield made


@pytest.fixture(scope="module")
def api(running: Topology, secrets: dict[str, str]) -> AirflowApi:
    """The administrator, logged in."""
    url = running.url("airflow-api-server")
    return AirflowApi(url, "admin", secrets["AIRFLOW_ADMIN_PASSWORD"])


@pytest.fixture(scope="module")
def trained(running: Topology, api: AirflowApi) -> dict[str, Any]:
    """What a small training came to, by the way through both workers."""
    api.wait_for_dags({"data_preparation", "xgboost_training", "promotion"}, 180)
    prepared = finish(running, api, "data_preparation", {})
    assert prepared
    run_id = finish(running, api, "xgboost_training", {"max_evaluations": 2})
    found: dict[str, Any] = api.result("xgboost_training", run_id, "results")
    return found


def finish(running: Topology, api: AirflowApi, dag_id: str, conf: dict[str, Any]) -> str:
    """Run a DAG to its good end; return the run's id."""
    run_id = api.trigger(dag_id, conf)
    deadline = time.monotonic() + 420
    while (state := api.run_state(dag_id, run_id)) not in FINISHED:
        assert time.monotonic() < deadline, "\n".join(map(running.log, WORKERS))
        time.sleep(1)
    if state != "success":
        tasks = [task for task in api.tasks(dag_id, run_id) if task.state == "failed"]
        pytest.fail("\n".join(api.log(dag_id, run_id, tasks[0])[-30:]) if tasks else state)
    return run_id


def test_a_model_is_trained_by_celery_workers(
    running: Topology, trained: dict[str, Any], secrets: dict[str, str]
) -> None:
    """Months become a registered model; results lie in the bucket, runs in Postgres."""
    (family,) = trained["families"]
    assert family["test_rmse"] > 0
    url = f"{running.url('mlflow')}/api/2.0/mlflow/registered-models/search"
    login = ("admin", secrets["MLFLOW_ADMIN_PASSWORD"])
    models = requests.get(url, auth=login, timeout=30).json()["registered_models"]
    assert [model["name"] for model in models] == ["trip_duration_green"]
    assert "succeeded in" in running.log(WORKERS[0]) + running.log(WORKERS[1])


def test_mlflow_asks_for_a_login(running: Topology) -> None:
    """Without one, MLflow tells nothing but that it lives."""
    url = running.url("mlflow")
    assert requests.get(f"{url}/health", timeout=30).ok
    search = f"{url}/api/2.0/mlflow/registered-models/search"
    assert requests.get(search, timeout=30).status_code == 401
    assert requests.get(search, auth=("admin", "password"), timeout=30).status_code == 401


def test_the_champion_answers(running: Topology, trained: dict[str, Any]) -> None:
    """What was trained answers at the prediction server, and the answer is in Postgres."""
    assert trained
    environment = running.environment("serving")
    program = [str(Path(sys.executable).parent / "model-loop"), "traffic", "promote", "1"]
    promoted = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert promoted.returncode == 0, promoted.stderr
    url = running.url("serving")
    said = ask(running, url)
    time.sleep(1)
    assert request_log(running, "SELECT count(*) FROM predictions") == [(1,)]
    assert said["minutes"] > 0
    assert requests.get(f"{url}/metrics", timeout=30).status_code == 401
    assert requests.get(f"{url}/metrics", headers=bearer(running), timeout=30).ok


def test_roles_hold_for_our_routes(
    running: Topology, api: AirflowApi, secrets: dict[str, str]
) -> None:
    """The viewer reads health and metrics, and may neither predict nor start runs."""
    url = running.url("airflow-api-server")
    viewer = AirflowApi(url, "prometheus", secrets["PROMETHEUS_PASSWORD"])
    bearer = {"Authorization": viewer._session.headers["Authorization"]}
    ours = f"{url}/model-loop"
    assert requests.get(f"{ours}/health/metrics", headers=bearer, timeout=60).ok
    assert (
        requests.post(f"{ours}/predict", json=TRIP, headers=bearer, timeout=60).status_code == 403
    )
    assert requests.get(f"{ours}/health/metrics", timeout=60).status_code == 401
    body: dict[str, Any] = {"logical_date": None, "conf": {}}
    assert viewer.send("POST", "/dags/prediction/dagRuns", json=body).status_code == 403
    assert api.get("/dags/prediction")["dag_id"] == "prediction"


def test_airflow_sends_its_metrics(trained: dict[str, Any]) -> None:
    """Airflow's own metrics go to where Prometheus takes them."""
    assert trained
    assert set(MetricsSink.paths) == {"/api/v1/otlp/v1/metrics"}


def test_users_of_databases_are_apart(running: Topology, secrets: dict[str, str]) -> None:
    """The user of the request log may not look into Airflow's database."""
    login = f"postgresql://requests:{secrets['REQUESTS_DB_PASSWORD']}@{HOST}"
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(f"{login}:{running.ports['postgres']}/airflow")


def test_the_proxy_is_the_one_door(running: Topology, trained: dict[str, Any]) -> None:
    """Through it one asks as inside, but not what is meant for tasks and for Prometheus alone."""
    assert trained
    ports = {name: free_port() for name in ("AIRFLOW", "MLFLOW", "SERVING")}
    sites = {f"{name}_ADDRESS": f"http://:{port}" for name, port in ports.items()}
    running.start(
        "proxy",
        **sites,
        XDG_DATA_HOME=str(running.folder / "proxy"),
        AIRFLOW_SERVER=running.url("airflow-api-server").removeprefix("http://"),
        MLFLOW_SERVER=running.url("mlflow").removeprefix("http://"),
        SERVING_NAME="localhost",
        SERVING_PORT=str(running.ports["serving"]),
    )
    airflow, mlflow, serving = (f"http://{HOST}:{port}" for port in ports.values())
    running.wait(f"{airflow}/api/v2/version")
    running.wait(f"{serving}/healthz")
    running.wait(f"{mlflow}/health")
    assert ask(running, serving)["minutes"] > 0
    assert requests.get(f"{serving}/metrics", timeout=30).status_code == 404
    assert requests.get(f"{airflow}/execution/health", timeout=30).status_code == 404
    large = requests.post(f"{serving}/predict", data=b" " * 5_000_000, timeout=30)
    assert large.status_code in {401, 413}
    assert "Bearer" not in running.log("proxy")
    running.end("proxy")


def test_a_killed_server_is_not_missed(running: Topology, trained: dict[str, Any]) -> None:
    """One of two servers behind the proxy is killed: the other answers; the log has both's."""
    assert trained
    port = free_port()

    def start(name: str) -> None:
        told = {"HOST": SERVERS[name], "PORT": str(port), "FOLDER": str(running.folder / name)}
        settings = {f"MODEL_LOOP_SERVING_{it}": value for it, value in told.items()}
        running.start("serving", name, **settings)
        running.wait(f"http://{SERVERS[name]}:{port}/readyz")

    for name in SERVERS:
        start(name)
    with name_server(tuple(SERVERS.values())) as resolver:
        rules = (ROOT / "deploy" / "proxy" / "Caddyfile").read_text()
        file = running.folder / "Caddyfile"
        file.write_text(rules.replace("refresh 5s", f"refresh 5s\n\t\t\tresolvers {resolver}"))
        sites = {f"{name}_ADDRESS": f"http://:{free_port()}" for name in ("AIRFLOW", "MLFLOW")}
        door = free_port()
        running.start(
            "proxy",
            "proxy",
            *("--config", str(file)),
            **sites,
            SERVING_ADDRESS=f"http://:{door}",
            SERVING_NAME="serving.",
            SERVING_PORT=str(port),
            XDG_DATA_HOME=str(running.folder / "proxy"),
        )
        url = f"http://{HOST}:{door}"
        running.wait(f"{url}/healthz")
        with load(url, bearer(running), TRIP, CLIENTS) as asked:
            time.sleep(3)
            before = {name: written(running, SERVERS[name], port) for name in SERVERS}
            dying = running._running.pop("serving-2")
            os.killpg(dying.pid, signal.SIGKILL)
            dying.wait()
            # Until it is gone altogether, the kernel takes connections for it.
            gone = time.monotonic()
            time.sleep(3)
            start("serving-2")
            deadline = time.monotonic() + 30
            while not written(running, SERVERS["serving-2"], port):
                assert time.monotonic() < deadline, "it is not asked again"
                time.sleep(0.5)
    assert all(before.values()), before
    failed = [one for one in asked if one.answer != requests.codes.ok]
    assert len(failed) <= CLIENTS, Counter(one.answer for one in failed)
    assert all(one.begun <= gone for one in failed), (gone, failed)
    time.sleep(1)
    logged = {row[0] for row in request_log(running, "SELECT prediction_id FROM predictions")}
    # What the killed one had said and not yet written, the next one on its folder has written.
    assert [one for one in asked if one.prediction_id and one.prediction_id not in logged] == []
    for name in ("proxy", *SERVERS):
        running.end(name)


def test_backup_wipe_and_restore(running: Topology, trained: dict[str, Any]) -> None:
    """After all of MLflow and the store is lost and restored, the champion answers the same."""
    assert trained
    before, known = ask(running, running.url("serving")), versions(running)
    dumps = {name: str(running.folder / f"{name}.dump") for name in ("mlflow", "mlflow_auth")}
    for name, dump in dumps.items():
        postgres(running, "pg_dump", "-Fc", "-d", name, "-f", dump)
    store = s3fs.S3FileSystem(
        key="any", secret="any", endpoint_url=running.url("s3"), use_listings_cache=False
    )
    copy = running.folder / "store"
    store.get("trip-duration", str(copy), recursive=True)

    for name in ("serving", "mlflow"):
        running.end(name)
    for name in dumps:
        postgres(running, "dropdb", "--force", name)
    store.rm("trip-duration", recursive=True)
    shutil.rmtree(running.folder / "serving")
    assert not store.exists("trip-duration")

    running.run("init")
    for name, dump in dumps.items():
        postgres(running, "pg_restore", "--exit-on-error", "-d", name, dump)
    store.put(f"{copy}/", "trip-duration", recursive=True)
    running.start("mlflow")
    running.wait(f"{running.url('mlflow')}/health")
    running.start("serving", MODEL_LOOP_SERVING_PORT=str(running.ports["serving"]))
    running.wait(f"{running.url('serving')}/readyz")
    after = ask(running, running.url("serving"))
    assert (after["minutes"], after["model_version"]) == (
        before["minutes"],
        before["model_version"],
    )
    # What leads from the version to its months is there too.
    assert versions(running) == known
    assert all(len(tags) > 3 for tags in known.values())
