"""Timetables that the DAGs of old runs name.

Airflow finds a timetable by the path of its class, so each is a class here.
"""

from model_loop.orchestration import schedules


class MonthsOnDemand(schedules.MonthsOnDemand):
    """The months of old runs."""


class DaysOnDemand(schedules.DaysOnDemand):
    """The days of old backfills."""
