"""Mounts the prediction application inside Airflow's api-server."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from trip_duration.orchestration.serving import URL_PREFIX, LazyApp


class TripDurationPlugin(AirflowPlugin):
    """Predictions at ``/trip-duration``."""

    name = "trip_duration"
    fastapi_apps: ClassVar[list[Any]] = [
        {"app": LazyApp(), "url_prefix": URL_PREFIX, "name": "Trip duration"}
    ]
