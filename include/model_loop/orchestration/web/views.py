"""Links to the dashboard in the Airflow UI; light, because every process reads it."""

from __future__ import annotations

from typing import Any

#: Addresses are relative to where the Airflow UI is.
_DASHBOARD = "model-loop/dashboard"
_ICON = f"{_DASHBOARD}/static/icon"

VIEWS: list[dict[str, Any]] = [
    {
        "name": "Model loop",
        "href": f"{_DASHBOARD}/overview",
        "destination": "nav",
        "url_route": "model-loop",
        "icon": f"/{_ICON}/icon-light.svg",
        "icon_dark_mode": f"/{_ICON}/icon-dark.svg",
        "nav_top_level": True,
    },
    {
        "name": "Model loop",
        "href": f"{_DASHBOARD}/for?dag_id={{DAG_ID}}",
        "destination": "dag",
        "url_route": "model-loop-dag",
    },
    {
        "name": "Model loop",
        "href": f"{_DASHBOARD}/for?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        "destination": "dag_run",
        "url_route": "model-loop-run",
    },
]
