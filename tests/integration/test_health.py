"""The health of the service inside Airflow: what its database, MLflow and the stores know."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.conftest import RunningStack
from tests.integration.test_serving import TRIP, sign_in

from model_loop.orchestration.web.mounting import URL_PREFIX
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = pytest.mark.integration

RAN = {"data_preparation", "sklearn_training", "xgboost_training"}


@pytest.fixture(scope="module")
def url(running: RunningStack, results: list[dict[str, Any]]) -> str:
    """Where the application is mounted, once a model is champion."""
    assert results
    tracker = Tracker(running.stack.mlflow_url, "trip-duration-promotion")
    promoter = Promoter(tracker, running.stack.settings.variant, "ended")
    if promoter.standing().champion is None:
        promoter.act(Action("promote", promoter.service, 1), "health/first")
    return f"{running.stack.airflow_url}{URL_PREFIX}"


def health_of(url: str, bearer: dict[str, str]) -> dict[str, Any]:
    """The health, once what it needs is imported and the prediction is written."""
    deadline = time.monotonic() + 60
    while True:
        health: dict[str, Any] = requests.get(f"{url}/health", headers=bearer, timeout=90).json()
        known = not health["problems"] and health["traffic"]["predictions"]
        if known or time.monotonic() > deadline:
            assert health["problems"] == {}
            return health
        time.sleep(1)


def test_the_health_needs_a_login(url: str) -> None:
    """As every route but the health checks of load balancers."""
    for path in ("/health", "/health/metrics"):
        assert requests.get(f"{url}{path}", timeout=90).status_code == 401


def test_the_health_of_a_running_loop(running: RunningStack, url: str) -> None:
    """Each DAG is shown with its age, and Prometheus reads it."""
    bearer = {"Authorization": f"Bearer {sign_in(running)}"}
    predicted = requests.post(f"{url}/predict", json=TRIP, headers=bearer, timeout=120)
    assert predicted.status_code == 200, predicted.text
    health = health_of(url, bearer)
    dags = {dag["dag_id"]: dag for dag in health["dags"]}
    assert set(dags) >= RAN | {"retraining", "promotion", "prediction"}
    assert all(time.time() - dags[dag_id]["last_success"] < 7_200 for dag_id in RAN)
    assert health["champion"]["newest_month"]
    assert health["champion"]["promoted"]
    assert health["traffic"]["predictions"] >= 1
    assert {product["name"] for product in health["products"]} == {"training_set", "months"}
    text = requests.get(f"{url}/health/metrics", headers=bearer, timeout=90).text
    families = {one.name: one.samples for one in text_string_to_metric_families(text)}
    up = {one.labels["part"]: one.value for one in families["model_loop_health_up"]}
    assert set(up.values()) == {1.0}
    ages = {
        one.labels["dag_id"]: one.value
        for one in families["model_loop_dag_last_success_age_seconds"]
    }
    assert all(0 < ages[dag_id] < 7_200 for dag_id in RAN)
    assert families["model_loop_champion_age_seconds"][0].value < 7_200
