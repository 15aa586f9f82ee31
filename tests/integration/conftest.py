"""A real stack for the tests: Airflow, MLflow and a mail sink, on free ports."""

from __future__ import annotations

import contextlib
import email
import email.policy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from rich.console import Console
from tests.servers import free_port

from model_loop.local.airflow_api import AirflowApi
from model_loop.local.demo import Demo, DemoRequest
from model_loop.local.stack import LocalStack
from model_loop.local.start import api_of, ensure_up
from model_loop.local.supervision import Supervision
from trip_duration.settings import TripSettings

PROJECT = Path(__file__).parents[2]
#: These tests fill in the metered distance: their models are asked when the trip has ended.
SMALL = DemoRequest(max_evaluations=2, recipe="rich")


@dataclass(frozen=True)
class RunningStack:
    """A stack that is up."""

    stack: LocalStack
    api: AirflowApi
    console: Console

    @property
    def tracking(self) -> MlflowClient:
        """Its MLflow server."""
        return MlflowClient(self.stack.mlflow_url)

    def demo(self, request: DemoRequest) -> list[dict[str, Any]]:
        """Run the main job."""
        return Demo(self.api, self.console).run(request)


def mails(running: RunningStack) -> list[email.message.EmailMessage]:
    """The mails that the sink has got."""
    found = []
    for path in sorted((running.stack.mails / "new").glob("*")):
        with path.open("rb") as file:
            found.append(email.message_from_binary_file(file, policy=email.policy.default))
    return found


def make_stack(state: Path) -> LocalStack:
    """A stack with small months, whose state lies in a folder."""
    settings = TripSettings(
        state=state,
        sample_trips_per_month=1_500,
        # Results of runs that were deleted are orphans at once.
        orphan_grace_seconds=0,
        retry_delay_seconds=1,
        # Threads of one fit wait for each other, and other tests have the second core.
        xgboost_threads=1,
        # It runs when a test says so.
        monitoring_schedule="",
        # What the roles may; nobody has none.
        airflow_users="admin:admin,viewer:viewer,operator:op,nobody:",
        # Every alert is a mail of its own, in the moment it arises.
        alert_window_seconds=0,
        airflow_port=free_port(),
        execution_port=free_port(),
        mlflow_port=free_port(),
        mail_port=free_port(),
    )
    return LocalStack(PROJECT, settings)


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One stack for all tests of this folder; every process is stopped after the last of them."""
    stack = make_stack(tmp_path_factory.mktemp("stack"))
    with running_stack(stack) as found:
        yield found


@contextlib.contextmanager
def running_stack(stack: LocalStack) -> Iterator[RunningStack]:
    """A stack while it is up; every process is stopped at the end."""
    console = Console(file=(stack.state / "console.txt").open("w"), width=120)
    # The stack has its own Airflow, not the one that the other tests read DAGs with; another stack
    # may have put that one out of the way already.
    home = os.environ.pop("AIRFLOW_HOME", None)
    try:
        ensure_up(stack, console)
        yield RunningStack(stack, api_of(stack), console)
    finally:
        if home is not None:
            os.environ["AIRFLOW_HOME"] = home
        Supervision(stack).stop()


@pytest.fixture(scope="package")
def results(running: RunningStack) -> list[dict[str, Any]]:
    """Results of the main job."""
    return running.demo(SMALL)
