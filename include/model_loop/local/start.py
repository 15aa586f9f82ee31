"""Starting the stack, and logging in."""

from __future__ import annotations

import os
import subprocess
import sys

from rich.console import Console

from model_loop.local import preflight
from model_loop.local.airflow_api import AirflowApi
from model_loop.local.health import wait_until_healthy
from model_loop.local.preflight import LocalStackError
from model_loop.local.stack import ADMIN, LocalStack
from model_loop.local.supervision import Supervision

_POOL_IS = "Processor cores for fitting models"


def ensure_up(stack: LocalStack, console: Console) -> None:
    """Start everything that does not run yet, and wait until it answers.

    Raises
    ------
    LocalStackError
        If something cannot be started; then everything is stopped again.
    """
    supervision = Supervision(stack)
    if not supervision.running:
        # Processes that a crash left behind would hold the ports.
        supervision.stop()
        preflight.check_machine(stack)
        console.print(f"Starting Airflow, MLflow and a mail sink (state in {stack.state})")
        # Before the processes start: they would contend for the database.
        _airflow(stack, "db", "migrate")
        _airflow(stack, "pools", "set", "training", str(os.cpu_count() or 1), _POOL_IS)
        supervision.start()
    try:
        wait_until_healthy(stack, supervision, console)
    except LocalStackError:
        supervision.stop()
        raise


def api_of(stack: LocalStack) -> AirflowApi:
    """A client that is logged in as the administrator.

    Raises
    ------
    LocalStackError
        If the stack was never started.
    """
    if stack.password is None:
        raise LocalStackError(
            "The Airflow login", "has no password yet", "Start the stack with `make up`."
        )
    return AirflowApi(stack.airflow_url, ADMIN, stack.password)


def _airflow(stack: LocalStack, *command: str) -> None:
    """Run a command of Airflow's own command line."""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "airflow", *command],
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalStackError(
            "Airflow's database",
            f"could not be made ({' '.join(command)}):\n{done.stderr[-2_000:]}\n",
            "Remove the state folder with `make clean` and start again.",
        )
