"""Mounts the prediction application and the dashboard inside Airflow's api-server."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from model_loop.orchestration.schedules.timetables import DaysOnDemand, PartitionsOnDemand
from model_loop.orchestration.web.former_addresses import FormerAddresses
from model_loop.orchestration.web.mounting import URL_PREFIX, LazyApp, WarmOnStart
from model_loop.orchestration.web.run_requests import CheckedTriggers
from model_loop.orchestration.web.views import VIEWS
from trip_duration.orchestration import schedules as former

_APP = LazyApp()


class ModelLoopPlugin(AirflowPlugin):
    """Predictions and the dashboard at ``/model-loop``, the latter also in the navigation."""

    name = "model_loop"
    fastapi_apps = [  # noqa: RUF012 - as Airflow declares it
        {"app": _APP, "url_prefix": URL_PREFIX, "name": "Model loop"}
    ]
    fastapi_root_middlewares = [  # noqa: RUF012 - as Airflow declares it
        {"middleware": WarmOnStart, "kwargs": {"lazy": _APP}, "name": "Model loop"},
        {"middleware": FormerAddresses, "name": "Addresses of before 0.2"},
        {"middleware": CheckedTriggers, "name": "Forms of the model loop"},
    ]
    timetables = [DaysOnDemand, PartitionsOnDemand, former.DaysOnDemand, former.MonthsOnDemand]  # noqa: RUF012 - as Airflow declares it
    external_views = VIEWS
