"""Timetables that the DAGs of old runs name.

Airflow finds a timetable by the path of its class, so each is a class here.
"""

from model_loop.orchestration.schedules import timetables


class MonthsOnDemand(timetables.PartitionsOnDemand):
    """The months of old runs."""


class DaysOnDemand(timetables.DaysOnDemand):
    """The days of old backfills."""
