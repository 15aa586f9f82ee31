"""Roles may do what the security page says, for every DAG and every route."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_REFUSED = {401, 403}


def table() -> dict[str, dict[str, str]]:
    """The table of the security page: answers by action and role."""
    text = (ROOT / "docs" / "security.md").read_text()
    lines = text[text.index("| May |") :].partition("\n\n")[0].splitlines()
    (_, *roles), _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines
    ]
    return {action: dict(zip(roles, answers, strict=True)) for action, *answers in rows}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, int]]]:
    """Statuses by action, role and request, of an api-server with the roles of production."""
    home = tmp_path_factory.mktemp("roles")
    datasets = home / "datasets"
    datasets.mkdir()
    bikes = (ROOT / "include" / "datasets" / "bikes.toml").read_text()
    access = '[access]\nRider = ["read", "run"]\n\n[time]\n'
    (datasets / "bikes.toml").write_text(bikes.replace("[time]\n", access, 1))
    done = subprocess.run(
        [sys.executable, "-m", "tests.orchestration.roles"],
        cwd=ROOT,
        env={
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
            ),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "MODEL_LOOP_DATASETS_FOLDER": str(datasets),
            "MODEL_LOOP_STATE": str(home / "state"),
            "MODEL_LOOP_STORAGE_ROOT": (home / "storage").as_uri(),
            "MODEL_LOOP_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    found: dict[str, dict[str, dict[str, int]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_role_may_what_the_page_says(
    answers: dict[str, dict[str, dict[str, int]]],
) -> None:
    """Refusals are those of the role; all else is answered, or is not there."""
    assert table().keys() == answers.keys() - {"as Rider"}
    for action, told in table().items():
        for role, may in told.items():
            assert may in ("yes", "no")
            for request, status in answers[action][role].items():
                assert (status not in _REFUSED) == (may == "yes"), (action, role, request, status)
                # A variant without a champion is not ready.
                assert status < 500 or request.endswith("/readyz"), (role, request)


def test_a_role_of_a_declaration_reaches_its_dataset_alone(
    answers: dict[str, dict[str, dict[str, int]]],
) -> None:
    """It sees and starts the DAGs of bikes, and asks their models; of trips it sees nothing."""
    refused = {
        request for request, status in answers["as Rider"]["Rider"].items() if status in _REFUSED
    }
    assert refused == {
        "GET /api/v2/dags/monitoring",
        "GET /api/v2/dags/monitoring/dagRuns",
        "POST /api/v2/dags/data_preparation/dagRuns",
        "PATCH /api/v2/dags/data_preparation",
        "GET /model-loop/dashboard/data?variant=green",
        "POST /model-loop/predict",
    }


def test_without_a_login_nothing_answers(
    answers: dict[str, dict[str, dict[str, int]]],
) -> None:
    """Not even with an error that tells what is there."""
    for action, by_role in answers.items():
        assert {*by_role["nobody"].values()} == {401}, action


def test_a_wrong_token_is_no_login(answers: dict[str, dict[str, dict[str, int]]]) -> None:
    """Routes of this package ask for a login, and do not say that a role may not."""
    for action in (
        "read pages, models, metrics, health and log",
        "predict, explain and give feedback",
    ):
        assert {*answers[action]["stranger"].values()} == {401}, action


def test_everything_is_asked(answers: dict[str, dict[str, dict[str, int]]]) -> None:
    """Every DAG, and every route of this package."""
    dags = {path.rsplit("/", 2)[-2] for path in answers["start runs of every DAG"]["Admin"]}
    assert {"promotion", "promotion_override", "green_months", "batch_scoring"} <= dags
    reading = answers["read pages, models, metrics, health and log"]["Viewer"]
    for path in ("models", "health/metrics", "ab_report", "openapi.json", "dashboard/none"):
        assert f"GET /model-loop/{path}" in reading
    asking = answers["predict, explain and give feedback"]["Viewer"]
    assert {path.rpartition("/")[2] for path in asking} == {
        *("predict", "invocations", "feedback", "explain")
    }
