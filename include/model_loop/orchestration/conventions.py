"""Conventions of every DAG of the package: an owner, tags, retries, an alert."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    get_current_context,
    task,
)

from model_loop.errors import ModelLoopError, TransientSourceError
from model_loop.orchestration.alerts.notifications import TaskFailed
from model_loop.orchestration.forms.checks import together, unknown_fields
from model_loop.orchestration.forms.completing import completed_form
from model_loop.orchestration.lazy import lazy_function
from model_loop.orchestration.names import ANSWERS, dataset_of_dag
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from airflow.sdk import Context

OWNER = "ml-team"

#: The pool that holds one slot per processor core for fits; `make up` creates it.
TRAINING_POOL = "training"


#: Package in which `step` looks for a module.
_STEPS = "model_loop.orchestration.steps"


def step(
    name: str,
    decorator: Callable[..., Any] = task,
    *,
    answers: bool = False,
    **options: Any,  # noqa: ANN401 - an operator's own
) -> Any:  # noqa: ANN401 - Airflow's types know no output of a task as an argument
    """A task that imports a function when it runs; call the result with other tasks' outputs.

    Parameters
    ----------
    name
        Function of the task, as ``module:function``; the module is one of `orchestration.steps`.
    decorator
        Decorator that makes the task; ``task.short_circuit`` and the like.
    answers
        Whether a caller waits for the result, which says why the task has failed; see `answering`.
    options
        Options of the operator: ``task_id``, ``pool``, …

    Raises
    ------
    InvalidInputError
        If there is no such function.
    """
    module, _, function = name.partition(":")
    found = lazy_function(f"{_STEPS}.{module}", function)
    made = decorator(**{"pre_execute": require_known_fields, **options})
    return made(answering(found) if answers else found)


def require_known_fields(context: Context) -> None:
    """Refuse fields that the DAG's form does not have, before a task begins; complete the others.

    Over REST they are refused before there is a run; this is for whatever else starts one.

    Raises
    ------
    InvalidInputError
        If there are any.
    """
    conf: Any = context["dag_run"].conf or {}
    dag = context["dag"]
    if mistakes := list(unknown_fields(conf, dag.params)):
        raise together(mistakes)
    dataset = dataset_of_dag(dag.dag_id)
    if dataset is not None:
        context["params"] = completed_form(dataset, context["params"])


def answering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a task's result say why it has failed, for a caller who waits for the result.

    `GET …/wait?result=` returns ``{"error": {"given", "rule", "remedy"}}`` then, as the prediction
    server does. The task fails all the same.
    """

    @functools.wraps(function)
    def answered(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        try:
            return function(*args, **kwargs)
        except ModelLoopError as error:
            ti: Any = get_current_context()["ti"]
            ti.xcom_push("return_value", {"error": error.fields()})
            raise

    return answered


class Tag(StrEnum):
    """The tags that DAGs may have."""

    MODEL_LOOP = "model-loop"
    DATA = "data"
    TRAINING = "training"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    REGISTRY = "registry"
    ALERTS = "alerts"
    PREDICTION = ANSWERS
    MONITORING = "monitoring"


def retry_policy() -> ExceptionRetryPolicy:
    """Retry what may pass, and fail at once on what the user has to change."""
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(TransientSourceError, RetryAction.RETRY),
            RetryRule(
                ModelLoopError,
                RetryAction.FAIL,
                reason="The input has to change; trying again would fail in the same way.",
            ),
        ]
    )


def default_args(owner: str | None = None) -> dict[str, Any]:
    """Return the arguments of every task.

    Parameters
    ----------
    owner
        Owner of the tasks, where it is not the team.
    """
    return {
        "owner": owner or OWNER,
        "retries": 2,
        "retry_delay": dt.timedelta(seconds=get_settings().retry_delay_seconds),
        "retry_policy": retry_policy(),
        "on_failure_callback": TaskFailed(),
    }
