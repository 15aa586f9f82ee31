"""The application inside Airflow's api-server, which asks Airflow who may pass."""

from __future__ import annotations

import atexit

from starlette.types import Scope

from model_loop.dashboard.worker_queries import WorkerQueries
from model_loop.monitoring.health.routes import health_routes
from model_loop.orchestration.names import PREDICTION, dag_id_of
from model_loop.orchestration.web.dashboard import make_dashboard, name_of_user
from model_loop.orchestration.web.health import health_parts
from model_loop.orchestration.web.login import authenticate
from model_loop.serving.http.app import create_app
from model_loop.serving.http.asgi import Authenticate, Guard, route_path
from model_loop.serving.http.server import Services, make_services, wait_less
from model_loop.serving.http.tokens import Caller
from model_loop.serving.service import PredictionService
from model_loop.settings import get_settings


def make_airflow_app() -> Guard:
    """The application, asking Airflow who may pass."""
    # Servers start side by side: a missing one is tried again, not waited for.
    wait_less()
    settings = get_settings()
    # People look at this server, and most of a request is Airflow's: it stays small instead.
    services = make_services(settings, small=True)
    questions = WorkerQueries()
    health = health_parts(services.default, questions)
    # Airflow does not tell mounted applications when it ends.
    atexit.register(services.stop)
    return create_app(
        services.default,
        airflow_users(services),
        max_bytes=settings.serving_max_bytes,
        max_rows=settings.serving_max_rows,
        others=services.others,
        extensions=health_routes(health),
        mounts={"/dashboard": make_dashboard(services, settings, health, questions)},
    )


def airflow_users(services: Services) -> Authenticate:
    """Return a function that names Airflow's user of a request.

    Users who may trigger the DAG `prediction` of a dataset may ask it; users who may see its runs
    may look.
    """
    default = dag_id_of(services.default.dataset, PREDICTION)
    dag_ids = {
        f"{path}/": dag_id_of(one.dataset, PREDICTION)
        if isinstance(one, PredictionService)
        else f"{path.split('/')[1]}__{PREDICTION}"
        for path, one in services.others.items()
    }

    async def identify(scope: Scope) -> Caller:
        path = f"{route_path(scope)}/"
        asked = next((each for begin, each in dag_ids.items() if path.startswith(begin)), "")
        if not asked and path.startswith("/dashboard/"):
            # The pages check the rights on each dataset themselves.
            return Caller(await name_of_user(scope))
        # Airflow decides on rights: there are no scopes.
        return Caller(await authenticate(scope, asked or default))

    return identify
