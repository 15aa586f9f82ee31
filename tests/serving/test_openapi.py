"""Whatever the OpenAPI document allows, and much that it does not, is answered by no failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.servers import free_port
from tests.serving.conftest import Server

from model_loop.serving.http.openapi import SHARED, Described
from model_loop.tracking.deployments import Deployment
from trip_duration.dataset import TRIPS

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def document(make_server: Callable[..., Server]) -> Iterator[Any]:
    """The document of a server on a port, with every part filled."""
    made = make_server(Deployment(champion=1, challenger=2, shadow=3, share=0.5))
    port = free_port()
    config = uvicorn.Config(made.app, port=port, log_level="error", access_log=False)
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started:
        time.sleep(0.01)
    bearer = {"Authorization": f"Bearer {made.secret}"}
    yield (
        schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json", headers=bearer),
        bearer,
    )
    server.should_exit = True
    running.join()


def test_generated_requests(document: Any) -> None:
    """Generated requests, right and wrong, get an answer that the document knows."""
    schema, bearer = document
    seen = []
    for found in schema.get_all_operations():
        operation = found.ok()
        seen.append(operation.path)
        for mode in GenerationMode:

            @given(case=operation.as_strategy(mode))
            @settings(
                max_examples=25,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            def ask(case: Any) -> None:
                case.call_and_validate(headers=bearer, checks=CHECKS)

            if mode is GenerationMode.POSITIVE or operation.method.upper() == "POST":
                ask()
    # The document does not ask for itself.
    assert {operation.path for operation in (*Described(TRIPS).operations(), *SHARED)} == {
        *seen,
        "/openapi.json",
    }
