"""The application inside Airflow's api-server, which asks Airflow who may pass."""

from __future__ import annotations

import atexit

from starlette.types import Scope

from model_loop.dashboard.questions import Questions
from model_loop.monitoring.health.routes import health_routes
from model_loop.orchestration.web.dashboard import make_dashboard, name_of_user
from model_loop.orchestration.web.health import health_parts
from model_loop.orchestration.web.login import authenticate
from model_loop.serving.http.app import create_app
from model_loop.serving.http.asgi import Guard, route_path
from model_loop.serving.http.server import make_services, wait_less
from model_loop.serving.http.tokens import Caller
from model_loop.settings import get_settings


def make_airflow_app() -> Guard:
    """The application, asking Airflow who may pass."""
    # Servers start side by side: a missing one is tried again, not waited for.
    wait_less()
    settings = get_settings()
    # People look at this server, and most of a request is Airflow's: it stays small instead.
    services = make_services(settings, small=True)
    service, questions = services.default, Questions()
    health = health_parts(service, questions)
    # Airflow does not tell mounted applications when it ends.
    atexit.register(service.stop)
    return create_app(
        service,
        _identify,
        max_bytes=settings.serving_max_bytes,
        max_rows=settings.serving_max_rows,
        extensions=health_routes(health),
        mounts={"/dashboard": make_dashboard(services, settings, health, questions)},
    )


async def _identify(scope: Scope) -> Caller:
    if route_path(scope).startswith("/dashboard/"):
        # The pages check the rights on each dataset themselves.
        return Caller(await name_of_user(scope))
    # Airflow decides on rights: there are no scopes.
    return Caller(await authenticate(scope))
