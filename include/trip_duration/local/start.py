"""Starting the stack, and logging in."""

from __future__ import annotations

import os
import subprocess
import sys

from rich.console import Console

from trip_duration.local import preflight
from trip_duration.local.airflow_api import AirflowApi
from trip_duration.local.health import wait_until_healthy
from trip_duration.local.preflight import LocalStackError
from trip_duration.local.stack import ADMIN, LocalStack
from trip_duration.local.supervision import Supervision


def ensure_up(stack: LocalStack, console: Console) -> None:
    """Start everything that does not run yet, and wait until it answers.

    Raises
    ------
    LocalStackError
        If something cannot be started; then everything is stopped again.
    """
    supervision = Supervision(stack)
    if not supervision.running:
        # What a crash left behind would hold the ports.
        supervision.stop()
        preflight.check(stack)
        console.print(f"Starting Airflow, MLflow and a mail sink (state in {stack.state})")
        _migrate(stack)
        supervision.start()
    try:
        wait_until_healthy(stack, supervision, console)
    except LocalStackError:
        supervision.stop()
        raise
    cores = os.cpu_count() or 1
    api_of(stack).set_pool("training", cores, "Processor cores for fitting models")


def api_of(stack: LocalStack) -> AirflowApi:
    """A client that is logged in as the administrator.

    Raises
    ------
    LocalStackError
        If Airflow has not made the login yet.
    """
    if stack.password is None:
        raise LocalStackError(
            "The Airflow login", "has no password yet", "Wait a moment and try again."
        )
    return AirflowApi(stack.airflow_url, ADMIN, stack.password)


def _migrate(stack: LocalStack) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalStackError(
            "Airflow's database",
            f"could not be made:\n{done.stderr[-2_000:]}\n",
            "Remove the state folder with `make clean` and start again.",
        )
