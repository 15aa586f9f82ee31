"""Inside Airflow, a process begins to load versions when somebody asks for one, and no sooner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Scope
from tests.serving.conftest import TRIP, MemoryRegistry

from model_loop.serving.http.app import create_app
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.http.tokens import Caller
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.service import PredictionService
from model_loop.tracking.deployments import Deployment

REFUSED = 200


async def authenticate(scope: Scope) -> Caller:
    """Let pass who has a header."""
    if not any(name == b"authorization" for name, _ in scope["headers"]):
        raise RequestRefusedError(401, "The request", "has no token", "Send one.")
    return Caller("tests")


@pytest.fixture
def registry(predictors: dict[int, ServedVersion]) -> MemoryRegistry:
    """A registry with a champion."""
    return MemoryRegistry(predictors, Deployment(champion=1))


@pytest.fixture
def client(tmp_path: Path, registry: MemoryRegistry) -> Iterator[httpx.AsyncClient]:
    """The application as Airflow mounts it, without startup events."""
    live = ModelManager(registry, tmp_path, 3_600)
    log = RequestLog(open_log("", tmp_path))
    service = PredictionService("green", live, log, ServerMetrics({"green": live}, log))
    app = create_app(service, authenticate, max_bytes=10_000, max_rows=10)
    yield httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tests")
    service.stop()


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/predict", "application/json", json.dumps({**TRIP, "pickup_zone": 0})),
        ("/predict", "application/json", "["),
        ("/invocations", "text/csv", "pickup_zone\n0\n"),
        ("/invocations", "application/json", json.dumps({"inputs": [TRIP] * 11})),
        ("/no/such/path", "application/json", "{}"),
    ],
)
def test_what_is_refused_loads_no_version(
    client: httpx.AsyncClient, registry: MemoryRegistry, path: str, kind: str, body: str
) -> None:
    """Loading takes seconds of a processor; the first good request is what it is spent on."""
    headers = {"content-type": kind, "authorization": "Bearer any"}

    async def ask() -> tuple[set[int], int, int]:
        refused = {
            (await client.post(path, content=body, headers=headers)).status_code
            for _ in range(REFUSED // 2)
        }
        refused |= {
            (await client.post(path, content=body)).status_code for _ in range(REFUSED // 2)
        }
        before = len(registry.tries)
        good = await client.post("/predict", json=TRIP, headers={"authorization": "Bearer any"})
        return refused, before, good.status_code

    refused, loaded, status = asyncio.run(ask())
    assert all(400 <= one < 500 for one in refused)
    assert loaded == 0
    assert (status, registry.tries) == (200, [1])
