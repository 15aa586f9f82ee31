"""Requests inside and outside of the OpenAPI document get no server error."""

from __future__ import annotations

import re
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

from model_loop.serving.http.openapi import SHARED, DescribedVariant, describe
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
    assert {operation.path for operation in (*DescribedVariant(TRIPS).operations(), *SHARED)} == {
        *seen,
        "/openapi.json",
    }


def test_names_are_unique_in_every_spelling() -> None:
    """Of datasets and variants that differ by a sign alone, also for generators of clients.

    They join words, drop signs and change cases, and fail or overwrite a file where two are one.
    """
    paths = (
        *("", "/ab", "/a_b", "/a/b", "/a__b", "/a1", "/a_1", "/bike_rentals", "/bike/rentals"),
        *("/rentals_of_bike", "/rentals/of_bike", "/bike_rentals/of", "/x", "/x/predict"),
    )
    served = [DescribedVariant(TRIPS, path) for path in paths]
    operations = [*SHARED, *(each for one in served for each in one.operations())]
    document = describe(served, operations)
    names = [each.identifier for each in operations]
    schemas = [name for one in served for name in (*one.schemas(), "Refusal")]
    squashed = [re.sub("[^a-z0-9]", "", name.lower()) for name in names]
    assert len({*squashed}) == len(operations)
    unique = {*schemas}
    shared = {"Refusal", "Notice", "Reasons", "Contribution"}
    assert shared <= unique
    assert len(unique) == 4 * len(paths) + len(shared)
    assert len({re.sub("[^a-z0-9]", "", name.lower()) for name in unique}) == len(unique)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) for name in (*names, *unique))
    loaded: Any = schemathesis.openapi.from_dict(document)
    assert len([each.ok() for each in loaded.get_all_operations()]) == len(operations)


def test_names_do_not_depend_on_what_else_is_served() -> None:
    """A client that was generated goes on when a dataset is added."""
    assert DescribedVariant(TRIPS, "/bike_rentals").schema("Row") == "BikeRentalsRow"
    assert DescribedVariant(TRIPS, "/bike/rentals").schema("Row") == "RentalsOfBikeRow"
    assert DescribedVariant(TRIPS, "/a_b").schema("Row") == "ABX328ff0Row"
