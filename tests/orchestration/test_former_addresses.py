"""Addresses of versions before 0.2 lead to those of today."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from model_loop.orchestration.web.former_addresses import FormerAddresses


async def _echo(request: Request) -> PlainTextResponse:
    body = (await request.body()).decode()
    return PlainTextResponse(f"{request.method} {request.url.path}?{request.url.query} {body}")


def client(root_path: str = "") -> TestClient:
    """Return a client of a server with the middleware, below a path where one is given."""
    app = Starlette(
        routes=[Route("/{path:path}", _echo, methods=["GET", "POST"])],
        middleware=[Middleware(FormerAddresses)],
    )
    return TestClient(app, root_path=root_path)


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ("/trip-duration", "/model-loop"),
        ("/trip-duration/health/metrics", "/model-loop/health/metrics"),
        ("/trip-duration/dashboard/for?dag_id=a%20b", "/model-loop/dashboard/for?dag_id=a%20b"),
        ("/plugin/trip-duration", "/plugin/model-loop"),
        ("/dags/monitoring/plugin/trip-duration-dag", "/dags/monitoring/plugin/model-loop-dag"),
        (
            "/dags/a/runs/manual__1+00:00/plugin/trip-duration-run",
            "/dags/a/runs/manual__1+00:00/plugin/model-loop-run",
        ),
    ],
)
def test_former_addresses_are_redirected(former: str, today: str) -> None:
    """Path and query stay, and a method with its body."""
    answer = client().post(former, content="body", follow_redirects=False)
    assert answer.status_code == 308
    path, _, query = today.partition("?")
    followed = client().post(former, content="body")
    assert followed.text == f"POST {path}?{query} body"


@pytest.mark.parametrize(
    "path",
    [
        "/trip-durations",
        "/model-loop/trip-duration",
        "/api/v2/dags/trip-duration",
        "/dags/trip-duration",
        "//trip-duration.example.com",
    ],
)
def test_other_addresses_pass(path: str) -> None:
    """Nothing is redirected by a part of its name."""
    answer = client().get(path, follow_redirects=False)
    assert answer.status_code == 200


def test_an_address_below_a_path_stays_below_it() -> None:
    """Airflow behind a proxy may be served below a path."""
    answer = client("/airflow").get("/airflow/trip-duration/predict", follow_redirects=False)
    assert answer.headers["location"] == "/airflow/model-loop/predict"


def test_no_address_leads_to_another_server() -> None:
    """A location that began with two slashes would name a server."""
    answer = client().get("/trip-duration//evil.example.com", follow_redirects=False)
    assert answer.headers["location"] == "/model-loop//evil.example.com"
