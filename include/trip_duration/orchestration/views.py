"""Where the dashboard stands in the Airflow UI; light, because every process reads it."""

from __future__ import annotations

from typing import Any

#: Addresses are relative to where the Airflow UI is.
_DASHBOARD = "trip-duration/dashboard"
_ICON = f"{_DASHBOARD}/static/icon"

VIEWS: list[dict[str, Any]] = [
    {
        "name": "Trip duration",
        "href": f"{_DASHBOARD}/overview",
        "destination": "nav",
        "url_route": "trip-duration",
        "icon": f"/{_ICON}/icon-light.svg",
        "icon_dark_mode": f"/{_ICON}/icon-dark.svg",
        "nav_top_level": True,
    },
    {
        "name": "Trip duration",
        "href": f"{_DASHBOARD}/for?dag_id={{DAG_ID}}",
        "destination": "dag",
        "url_route": "trip-duration-dag",
    },
    {
        "name": "Trip duration",
        "href": f"{_DASHBOARD}/for?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        "destination": "dag_run",
        "url_route": "trip-duration-run",
    },
]
