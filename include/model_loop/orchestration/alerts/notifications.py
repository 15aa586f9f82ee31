"""Notifications: the callbacks of tasks and runs, and the announcements of tasks."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from model_loop.alerts.dispatch import AlertDispatcher
from model_loop.errors import (
    DeliveryError,
    InvalidInputError,
    NotPublishedError,
    ReportedError,
)
from model_loop.orchestration.alerts.announcements import (
    approval_waits,
    code_waits,
    deadline_missed,
    success,
)
from model_loop.orchestration.alerts.channels import channels
from model_loop.orchestration.alerts.failed_tasks import failed_tasks
from model_loop.orchestration.alerts.failures import failed_run, failure_of, untold_failures
from model_loop.orchestration.names import ANSWERS, INSPECT, JUDGE, RESULTS
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from model_loop.alerts.types import Alert, AlertKind

logger = logging.getLogger(__name__)


class TaskFailed(BaseNotifier):
    """Tells that a task failed for good; in its own process, or where Airflow found it gone."""

    def notify(self, context: Context) -> None:
        """Build the alert, keep it, and deliver it as far as that is possible now."""
        error = context.get("exception")
        # An alert about failed delivery could not be delivered either: it waits, and the task's log
        # says so.
        if not wanted("failure") or isinstance(error, DeliveryError):
            return
        alert = failure_of(context)
        if isinstance(error, ReportedError) or _is_the_callers(error, context):
            dispatcher().outbox.mark_delivered(alert)
        else:
            dispatcher().submit(alert)


def _is_the_callers(error: object, context: Mapping[str, Any]) -> bool:
    """Return whether an error is the mistake of a caller who reads it in the run's result.

    It is in the result of the run: the ones who keep the loop running can do nothing about it.
    """
    tags = getattr(context.get("dag"), "tags", ())
    return ANSWERS in tags and isinstance(error, InvalidInputError | NotPublishedError)


class ApprovalWaits(BaseNotifier):
    """Tells at once that a promotion waits for a person."""

    def notify(self, context: Context) -> None:
        """Build the alert, keep it, and deliver it as far as that is possible now."""
        if not wanted("approval"):
            return
        run, settings = context["dag_run"], get_settings()
        verdict = context["ti"].xcom_pull(task_ids=JUDGE)
        hours, default = settings.approval_hours, settings.approval_default
        service = context["params"]["service"]
        alert = approval_waits(verdict, service, hours, default, run.dag_id, run.run_id)
        try:
            dispatcher().submit(alert)
        # The approval can be given without a mail, too.
        except Exception:
            logger.exception("Not told: %s", alert.subject)


class CodeWaits(BaseNotifier):
    """Tells at once that code waits for a person."""

    def notify(self, context: Context) -> None:
        """Build the alert, keep it, and deliver it as far as that is possible now."""
        if not wanted("approval"):
            return
        run, params = context["dag_run"], context["params"]
        contents = context["ti"].xcom_pull(task_ids=INSPECT)
        hours = get_settings().approval_hours
        alert = code_waits(
            contents, params["code"], params["service"], hours, run.dag_id, run.run_id
        )
        try:
            dispatcher().submit(alert)
        # The approval can be given without a mail, too.
        except Exception:
            logger.exception("Not told: %s", alert.subject)


class RunEnded(BaseNotifier):
    """Tells what tasks that were killed could not, delivers what waits, and tells of a success.

    Parameters
    ----------
    failed
        Whether the run failed.
    digest
        Whether a success is mailed, from the result of the task `results`.
    """

    def __init__(self, *, failed: bool, digest: bool = False) -> None:
        super().__init__()
        self.failed = failed
        self.digest = digest

    def notify(self, context: Context) -> None:
        """Find the alerts of a run that has ended."""
        alerts: list[Alert] = []
        if wanted("failure"):
            failed = failed_tasks(context["dag"], context["run_id"])
            alerts += untold_failures(context, failed, dispatcher().outbox.knows)
            if self.failed and not failed:
                alerts.append(failed_run(context))
        if self.digest and wanted("success"):
            alerts.append(_success(context))
        dispatcher().submit(*alerts)


def alerts_of_runs(
    *, digest: bool = False, announces: bool = False, hours: float | None = None
) -> dict[str, Any]:
    """Return the arguments of a DAG that make its runs send alerts.

    Parameters
    ----------
    digest
        Whether a success is mailed, from the result of the task `results`.
    announces
        Whether its tasks announce something, which is delivered when the run has ended.
    hours
        When a run is late, counted from when it was queued.
    """
    found: dict[str, Any] = {"on_failure_callback": RunEnded(failed=True)}
    if digest or announces:
        found["on_success_callback"] = RunEnded(failed=False, digest=digest)
    if hours is not None:
        found["deadline"] = DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=dt.timedelta(hours=hours),
            # By name: the triggerer imports it, which every executor has.
            callback=AsyncCallback(
                "model_loop.orchestration.alerts.notifications.tell_of_deadline", {"hours": hours}
            ),
        )
    return found


async def tell_of_deadline(hours: float, context: Mapping[str, Any]) -> None:
    """Tell that a run is late; runs on the triggerer."""
    if not wanted("deadline"):
        return
    run, deadline = context["dag_run"], str(context["deadline"]["deadline_time"])

    def tell() -> None:
        dispatcher().submit(deadline_missed(run["dag_id"], run["dag_run_id"], deadline, hours))

    await asyncio.to_thread(tell)


def announce(alert: Alert) -> None:
    """Put an alert into the outbox; whatever goes wrong, the task whose work is done goes on.

    It is delivered when the run has ended.
    """
    if not wanted(alert.kind):
        return
    try:
        dispatcher().outbox.put(alert)
    # The work is done and must not be done again for want of a mail.
    except Exception:
        logger.exception("Not told: %s", alert.subject)


def wanted(kind: AlertKind) -> bool:
    """Return whether the settings enable alerts of a kind."""
    return kind == "test" or bool(getattr(get_settings(), f"alert_{kind}"))


def dispatcher() -> AlertDispatcher:
    """Return the dispatcher of the storage root in the settings."""
    settings = get_settings()
    return AlertDispatcher(
        settings.storage_root, channels, window_seconds=settings.alert_window_seconds
    )


def _success(context: Mapping[str, Any]) -> Alert:
    results = context["ti"].xcom_pull(task_ids=RESULTS)
    return success(context["dag"].dag_id, context["run_id"], results)
