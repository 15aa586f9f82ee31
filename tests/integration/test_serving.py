"""The prediction application inside Airflow: behind its login, with its roles."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from tests.integration.conftest import RunningStack

from model_loop.local.stack import ADMIN
from model_loop.orchestration.web.mounting import URL_PREFIX
from model_loop.serving.http.asgi import OPEN_PATHS
from model_loop.serving.http.openapi import SHARED, DescribedVariant
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration

TRIP = {
    "pickup_zone": 74,
    "dropoff_zone": 75,
    "trip_distance": 1.5,
    "pickup_at": "2024-03-01T08:00:00",
}


@pytest.fixture
def url(running: RunningStack, results: list[dict[str, Any]]) -> str:
    """Where the application is mounted, once a model is champion."""
    promoter = Promoter(
        Tracker(running.stack.mlflow_url, "trip-duration-promotion"),
        running.stack.settings.variant,
        "ended",
    )
    if promoter.standing().champion is None:
        versions = [int(result["version"]) for result in results if "version" in result]
        version = versions[0] if versions else 1
        promoter.act(Action("promote", promoter.service, version), "serving/first")
    return f"{running.stack.airflow_url}{URL_PREFIX}"


def test_nobody_passes_without_a_login(url: str) -> None:
    """Every route but the health checks answers 401 without a login, and with a wrong token."""
    for operation in (*DescribedVariant(TRIPS).operations(), *SHARED):
        path = operation.path.replace("{prediction_id}", "0")
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = requests.request(operation.method, f"{url}{path}", headers=headers, timeout=90)
            if path in OPEN_PATHS:
                assert answer.status_code in {200, 503}
            else:
                assert answer.status_code in ({401} if not headers else {401, 403}), path
    assert requests.get(f"{url}/openapi.json", timeout=60).status_code == 401
    assert requests.get(f"{url}/no/such/route", timeout=60).status_code == 401


def sign_in(running: RunningStack) -> str:
    """A token of Airflow's administrator."""
    login = {"username": ADMIN, "password": running.stack.password}
    answer = requests.post(f"{running.stack.airflow_url}/auth/token", json=login, timeout=30)
    token: str = answer.json()["access_token"]
    return token


def test_who_is_logged_in_gets_predictions(running: RunningStack, url: str) -> None:
    """Airflow's own token opens it, in the header or as the cookie of the UI."""
    token = sign_in(running)
    bearer = {"Authorization": f"Bearer {token}"}
    answer = requests.post(f"{url}/predict", json=TRIP, headers=bearer, timeout=120)
    assert answer.status_code == 200, answer.text
    (one,) = answer.json()
    assert one["minutes"] > 0
    cookie = requests.post(f"{url}/predict", json=TRIP, cookies={"_token": token}, timeout=60)
    assert cookie.json()[0]["minutes"] == one["minutes"]
    logged = requests.get(f"{url}/predictions/{one['prediction_id']}", headers=bearer, timeout=60)
    assert logged.json()["caller"] == "admin"
    assert requests.get(f"{url}/readyz", timeout=60).json()["ready"]
    assert "POST /predict" in requests.get(f"{url}/docs", headers=bearer, timeout=60).text
