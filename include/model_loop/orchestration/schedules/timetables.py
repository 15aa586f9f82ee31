"""Schedules of DAGs: none runs by itself unless a setting says so.

No DAG is paused when it is created, so that whoever triggers one is answered; what runs by itself
is a matter of the settings alone.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAny, AssetOrTimeSchedule
from airflow.sdk import CronPartitionTimetable as ScheduledPartitions
from airflow.sdk import CronTriggerTimetable as ScheduledTimes
from airflow.timetables.trigger import CronPartitionTimetable, CronTriggerTimetable

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.assets import assets_of
from model_loop.partitions.keys import labels_delay
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction

#: Delay with which a busy scheduler may begin a DAG's first scheduled run. An earlier time was
#: before the schedule was switched on, and nobody has asked for its run.
_FIRST_RUN_LATE = dt.timedelta(minutes=10)

#: Beginning (cron), format of the key and length of each kind of partition.
_PARTITIONS: Mapping[str, tuple[str, str, dt.timedelta]] = MappingProxyType(
    {
        "month": ("0 0 1 * *", "%Y-%m", dt.timedelta(days=31)),
        "week": ("0 0 * * 1", "%G-W%V", dt.timedelta(days=7)),
        "day": ("0 0 * * *", "%Y-%m-%d", dt.timedelta(days=1)),
    }
)


class PartitionsOnDemand(CronPartitionTimetable):
    """Partitions of time, none of which is prepared before somebody asks for it.

    A run of one partition and a backfill of several need a timetable of partitions; Airflow has
    none that does not run by itself.
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

    def __eq__(self, other: object) -> bool:
        """Compare with itself at once: for all others Airflow imports its serialization."""
        return self is other or super().__eq__(other)

    __hash__ = CronTriggerTimetable.__hash__


def cron(expression: str) -> ScheduledTimes:
    """Run at the times of an expression (UTC), the first time at one that is yet to come.

    A DAG that has a start date would run at once for the last time before it was switched on.
    """
    return ScheduledTimes(expression, timezone="UTC", run_immediately=_FIRST_RUN_LATE)


def retraining_schedule(dataset: Dataset) -> AssetOrTimeSchedule | AssetAny:
    """Return the schedule of `retraining`: its events, and a cron expression.

    That of the declaration goes before that of the settings, which is for one dataset alone.
    """
    declared = dataset.declaration.schedule if dataset.declaration else None
    settings = get_settings().retraining_schedule if _is_of_settings(dataset) else ""
    expression = (declared or settings).strip()
    assets = assets_of(dataset)
    events = AssetAny(assets.published, assets.drift)
    return AssetOrTimeSchedule(timetable=cron(expression), assets=events) if expression else events


def monitoring_schedule(dataset: Dataset) -> AssetOrTimeSchedule:
    """Return the schedule of `monitoring`: the cron expression of the settings, and new partitions.

    The expression is for the dataset of the settings, and for those that declare a schedule. New
    partitions bring true values. Its days can be backfilled, whether or not there is an expression.
    """
    scheduled = dataset.declaration is not None and dataset.declaration.schedule
    wanted = scheduled or _is_of_settings(dataset)
    expression = get_settings().monitoring_schedule.strip() if wanted else ""
    # Airflow declares the SDK's timetables here, and takes its own as well.
    days: Any = cron(expression) if expression else DaysOnDemand("0 6 * * *", timezone="UTC")
    return AssetOrTimeSchedule(timetable=days, assets=AssetAny(assets_of(dataset).published))


def watch_schedule(dataset: Dataset) -> str | None:
    """Return the schedule of what watches a source: one run after the other, if that is set.

    It is for the dataset of the settings alone.
    """
    wanted = get_settings().watch_partitions and _is_of_settings(dataset)
    return "@continuous" if wanted else None


def _is_of_settings(dataset: Dataset) -> bool:
    """Return whether the schedules of the settings are for a dataset: that of their variant."""
    return get_settings().variant in dataset.variants


def partitions_schedule(dataset: Dataset, variant: str) -> ScheduledPartitions | PartitionsOnDemand:
    """Return the schedule of a variant's partitions; those of the settings may run by themselves.

    Each run is about the partition that was published last when it begins.
    """
    settings = get_settings()
    begins, key_format, length = _PARTITIONS[dataset.partition]
    arguments: dict[str, Any] = {
        "timezone": "UTC",
        "run_offset": -1 - dataset.published_after - _labels_after(dataset, length),
        "key_format": key_format,
    }
    expression = settings.partitions_schedule.strip()
    if expression and variant == settings.variant:
        return ScheduledPartitions(expression, run_immediately=_FIRST_RUN_LATE, **arguments)
    return PartitionsOnDemand(begins, **arguments)


def _labels_after(dataset: Dataset, length: dt.timedelta) -> int:
    """Return how many partitions of a length pass until the true values of one are there."""
    return math.ceil((labels_delay(dataset) or dt.timedelta(0)) / length)
