"""Mounts the prediction application and the dashboard inside Airflow's api-server."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from trip_duration.orchestration.schedules import DaysOnDemand, MonthsOnDemand
from trip_duration.orchestration.serving import URL_PREFIX, LazyApp, WarmOnStart
from trip_duration.orchestration.triggers import CheckedTriggers
from trip_duration.orchestration.views import VIEWS

_APP = LazyApp()


class TripDurationPlugin(AirflowPlugin):
    """Predictions and the dashboard at ``/trip-duration``, the latter also in the navigation."""

    name = "trip_duration"
    fastapi_apps = [  # noqa: RUF012 - as Airflow declares it
        {"app": _APP, "url_prefix": URL_PREFIX, "name": "Trip duration"}
    ]
    fastapi_root_middlewares = [  # noqa: RUF012 - as Airflow declares it
        {"middleware": WarmOnStart, "kwargs": {"lazy": _APP}, "name": "Trip duration"},
        {"middleware": CheckedTriggers, "name": "Forms of trip duration"},
    ]
    timetables = [DaysOnDemand, MonthsOnDemand]  # noqa: RUF012 - as Airflow declares it
    external_views = VIEWS
