"""The step of the DAG `alerts`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk.types import DagRunProtocol

from model_loop.errors import DeliveryError
from model_loop.orchestration.alerts.announcements import trial
from model_loop.orchestration.alerts.notifications import dispatcher

logger = logging.getLogger(__name__)

#: The scheduled delivery waits so long for another sender.
_DELIVERY_PATIENCE_SECONDS = 150.0


def deliver_waiting(params: Mapping[str, Any], dag_run: DagRunProtocol) -> dict[str, int]:
    """Deliver waiting alerts.

    Raises
    ------
    DeliveryError
        If something waits still.
    """
    alerts = dispatcher()
    if params["test"]:
        alerts.outbox.put(trial(dag_run.run_id))
    done = alerts.deliver(patience_seconds=_DELIVERY_PATIENCE_SECONDS, scheduled=True)
    alerts.outbox.forget()
    if done.problems:
        raise DeliveryError(
            "Alerts that wait",
            f"could not be delivered ({done.waiting} of them): {' '.join(done.problems)[:-1]}",
            "They are delivered within five minutes after that is mended.",
        )
    logger.info("Delivered %d alerts, %d wait", done.sent, done.waiting)
    return {"sent": done.sent, "waiting": done.waiting}
