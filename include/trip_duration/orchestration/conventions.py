"""What every DAG of the package has: an owner, tags, retries, an alert."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, task

from trip_duration.errors import TransientSourceError, TripDurationError
from trip_duration.orchestration.notifications import TaskFailed
from trip_duration.settings import get_settings

OWNER = "ml-team"

#: The pool that holds one slot per processor core for fits; `make up` creates it.
TRAINING_POOL = "training"


def step(
    function: Callable[..., Any],
    decorator: Callable[..., Any] = task,
    **options: Any,  # noqa: ANN401 - an operator's own
) -> Any:  # noqa: ANN401 - Airflow's types know no output of a task as an argument
    """A plain function as a task; call the result with the outputs of other tasks.

    Parameters
    ----------
    function
        What the task does.
    decorator
        What makes the task; ``task.short_circuit`` and the like.
    options
        Of the operator: ``task_id``, ``pool``, …
    """
    return decorator(**options)(function)


class Tag(StrEnum):
    """The tags that DAGs may have."""

    TRIP_DURATION = "trip-duration"
    DATA = "data"
    TRAINING = "training"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    REGISTRY = "registry"
    ALERTS = "alerts"
    PREDICTION = "prediction"
    MONITORING = "monitoring"


def retry_policy() -> ExceptionRetryPolicy:
    """Retry what may pass, and fail at once on what the user has to change."""
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(TransientSourceError, RetryAction.RETRY),
            RetryRule(
                TripDurationError,
                RetryAction.FAIL,
                reason="The input has to change; trying again would fail in the same way.",
            ),
        ]
    )


def default_args() -> dict[str, Any]:
    """Arguments of every task."""
    return {
        "owner": OWNER,
        "retries": 2,
        "retry_delay": dt.timedelta(seconds=get_settings().retry_delay_seconds),
        "retry_policy": retry_policy(),
        "on_failure_callback": TaskFailed(),
    }
