"""Mounts the prediction application inside Airflow's api-server."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from trip_duration.orchestration.serving import URL_PREFIX, LazyApp


class TripDurationPlugin(AirflowPlugin):
    """Predictions at ``/trip-duration``."""

    name = "trip_duration"
    fastapi_apps = [  # noqa: RUF012 - as Airflow declares it
        {"app": LazyApp(), "url_prefix": URL_PREFIX, "name": "Trip duration"}
    ]
