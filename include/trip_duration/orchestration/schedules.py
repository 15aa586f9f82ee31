"""When DAGs run by themselves."""

from __future__ import annotations

from airflow.sdk import AssetAny, AssetOrTimeSchedule, CronTriggerTimetable

from trip_duration.orchestration.assets import DRIFT, PUBLISHED_MONTHS
from trip_duration.settings import get_settings


def retraining_schedule() -> AssetOrTimeSchedule | AssetAny:
    """New months, drift, and the schedule of the settings."""
    events = AssetAny(PUBLISHED_MONTHS, DRIFT)
    cron = get_settings().retraining_schedule
    if not cron.strip():
        return events
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(cron, timezone="UTC"), assets=events)


def monitoring_schedule() -> AssetOrTimeSchedule | AssetAny:
    """The schedule of the settings, and new months, which tell how long trips took."""
    events = AssetAny(PUBLISHED_MONTHS)
    cron = get_settings().monitoring_schedule
    if not cron.strip():
        return events
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(cron, timezone="UTC"), assets=events)
