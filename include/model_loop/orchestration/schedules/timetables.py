"""Schedules of DAGs: none runs by itself unless a setting says so.

No DAG is paused when it is created, so that whoever triggers one is answered; what runs by itself
is a matter of the settings alone.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAny, AssetOrTimeSchedule
from airflow.sdk import CronPartitionTimetable as ScheduledPartitions
from airflow.sdk import CronTriggerTimetable as ScheduledTimes
from airflow.timetables.trigger import CronPartitionTimetable, CronTriggerTimetable

from model_loop.orchestration.assets import DRIFT, PUBLISHED_MONTHS
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction

#: So much later than its time a DAG's first scheduled run may begin, for a scheduler that is busy.
#: What lies further back was before the schedule was switched on, and nobody has asked for it.
_FIRST_RUN_LATE = dt.timedelta(minutes=10)

#: TLC publishes with two months' delay: on the first of April, January is there.
_MONTHS: dict[str, Any] = {"timezone": "UTC", "run_offset": -3, "key_format": "%Y-%m"}


class MonthsOnDemand(CronPartitionTimetable):
    """A partition for each month, none of which is prepared before somebody asks for it.

    A run of one month and a backfill of several need a timetable of partitions; Airflow has none
    that does not run by itself.
    """

    def next_dagrun_info_v2(
        self,
        *,
        last_dagrun_info: DagRunInfo | None,  # noqa: ARG002 - Airflow gives it
        restriction: TimeRestriction,  # noqa: ARG002 - Airflow gives it
    ) -> DagRunInfo | None:
        """Schedule nothing; a backfill does not ask here."""
        return None


class DaysOnDemand(CronTriggerTimetable):
    """The days of a backfill, none of which is run before somebody asks for it."""

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Schedule nothing; only a backfill makes up for the past."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )


def cron(expression: str) -> ScheduledTimes:
    """Run at the times of an expression (UTC), the first time at one that is yet to come.

    A DAG that has a start date would run at once for the last time before it was switched on.
    """
    return ScheduledTimes(expression, timezone="UTC", run_immediately=_FIRST_RUN_LATE)


def retraining_schedule() -> AssetOrTimeSchedule | AssetAny:
    """Return the schedule of `retraining`: its events, and the cron expression of the settings."""
    expression = get_settings().retraining_schedule.strip()
    events = AssetAny(PUBLISHED_MONTHS, DRIFT)
    return AssetOrTimeSchedule(timetable=cron(expression), assets=events) if expression else events


def monitoring_schedule() -> AssetOrTimeSchedule:
    """Return the schedule of `monitoring`: the cron expression of the settings, and new months.

    New months tell how long trips took. Its days can be backfilled, whether or not there is an
    expression.
    """
    expression = get_settings().monitoring_schedule.strip()
    # Airflow declares the SDK's timetables here, and takes its own as well.
    days: Any = cron(expression) if expression else DaysOnDemand("0 6 * * *", timezone="UTC")
    return AssetOrTimeSchedule(timetable=days, assets=AssetAny(PUBLISHED_MONTHS))


def watch_schedule() -> str | None:
    """Return the schedule of `watch_months`: one look-out after the other, if that is wanted."""
    return "@continuous" if get_settings().watch_months else None


def months_schedule(service: str) -> ScheduledPartitions | MonthsOnDemand:
    """Return the schedule of the months of a service; that of the settings may run by itself."""
    settings = get_settings()
    expression = settings.months_schedule.strip()
    if expression and service == settings.service:
        return ScheduledPartitions(expression, run_immediately=_FIRST_RUN_LATE, **_MONTHS)
    return MonthsOnDemand("0 0 1 * *", **_MONTHS)
