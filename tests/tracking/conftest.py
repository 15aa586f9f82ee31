"""A real MLflow server for the tests of tracking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers import mlflow_server

from model_loop.tracking.runs import Tracker


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    """A tracker on a server of its own."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield Tracker(url, "tests")
