"""The prediction application inside Airflow's api-server, behind Airflow's login and roles.

Every process of Airflow reads the plugins, and only the api-server should pay for the application:
it is built beside the requests once a server has started, or at the first of them.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from typing import TYPE_CHECKING, Literal

from model_loop.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from model_loop.serving.http.asgi import Guard
    from model_loop.serving.http.tokens import Caller

logger = logging.getLogger(__name__)

URL_PREFIX = "/model-loop"

#: Whoever may trigger runs of this DAG may predict; whoever may see them may look.
_DAG_ID = "prediction"
Method = Literal["GET", "POST"]
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class LazyApp:
    """An ASGI application that builds the real one when it is first asked.

    Parameters
    ----------
    build
        Makes the real one.
    """

    def __init__(self, build: Callable[[], ASGIApp] | None = None) -> None:
        self._make = build or make_airflow_app
        self._app: ASGIApp | None = None
        self._building = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if self._app is None:
            await asyncio.to_thread(self._build)
        assert self._app is not None
        await self._app(scope, receive, send)

    def warm(self) -> None:
        """Build it now, on a thread of its own, so that nobody has to wait for it."""
        threading.Thread(target=self._warm, name="model-loop-warm", daemon=True).start()

    def _warm(self) -> None:
        try:
            self._build()
        except Exception:
            # The first request tries again, and is told.
            logger.exception("The application of trip durations cannot be built")

    def _build(self) -> ASGIApp:
        with self._building:
            # Whoever has waited for the lock finds it built.
            self._app = self._app or self._make()
            return self._app


class WarmOnStart:
    """Middleware that has an application built as soon as its server answers.

    Airflow does not tell mounted applications that it has started; what is around all of them is
    told. Requests pass through untouched.

    Parameters
    ----------
    app
        What is around.
    lazy
        What is built.
    """

    def __init__(self, app: ASGIApp, lazy: LazyApp) -> None:
        self._app = app
        self._lazy = lazy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a message on."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._lazy.warm()

        await self._app(scope, receive, told)


def make_airflow_app() -> Guard:
    """The application, asking Airflow who may pass."""
    from model_loop.dashboard.questions import Questions
    from model_loop.monitoring.health.routes import health_routes
    from model_loop.orchestration.dashboard import make_dashboard
    from model_loop.orchestration.health import health_parts
    from model_loop.serving.http.app import create_app
    from model_loop.serving.http.server import make_service, wait_less

    # Servers start side by side: what is not there yet is asked again, not waited for.
    wait_less()
    settings = get_settings()
    # People look at this server, and most of a request is Airflow's: it stays small instead.
    service = make_service(settings, small=True)
    questions = Questions()
    health = health_parts(service, questions)
    # Airflow does not tell mounted applications when it ends.
    atexit.register(service.stop)
    return create_app(
        service,
        _identify,
        max_bytes=settings.serving_max_bytes,
        max_trips=settings.serving_max_trips,
        extensions=health_routes(health),
        mounts={"/dashboard": make_dashboard(service, settings, health, questions)},
    )


async def _identify(scope: Scope) -> Caller:
    # Rights are Airflow's: there are no scopes.
    from model_loop.serving.http.tokens import Caller

    return Caller(await authenticate(scope))


async def authenticate(scope: Scope, dag_id: str = _DAG_ID, method: Method | None = None) -> str:
    """The name of Airflow's user, by its token or the cookie of its UI.

    Parameters
    ----------
    dag_id
        Whose runs the user has to have access to.
    method
        Which access; that of the request, where it is left out.

    Raises
    ------
    RequestRefusedError
        If nobody is logged in (401), or the role does not allow it (403).
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api import security
    from fastapi import HTTPException
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request

    from model_loop.serving.http.requests import RequestRefusedError
    from model_loop.serving.request_log.tables import CALLER_LENGTH

    request = Request(scope)
    method = method or ("GET" if request.method in _READING else "POST")
    needed = f"{'trigger' if method == 'POST' else 'see'} the DAG {dag_id}"
    refused = "is refused by Airflow"
    try:
        credentials = await security.bearer_scheme(request)
        user = await security.get_user(request, None, credentials)
    except HTTPException as error:
        # To Airflow, a token that it has not made is forbidden: nobody has logged in with it.
        raise RequestRefusedError(
            401,
            "The request",
            f"{refused} ({error.detail})",
            "Log in, or send a token from /auth/token as `Bearer` in the header `Authorization`, "
            f"of a user who may {needed}.",
        ) from error
    try:
        allowed = security.requires_access_dag(method, DagAccessEntity.RUN, dag_id)
        await run_in_threadpool(allowed, request, user)
    except HTTPException as error:
        # A user who is logged in and may not is helped by no token of their own.
        remedy = f"Your role may not {needed}: ask an administrator for one that may."
        raise RequestRefusedError(
            403, "The request", f"{refused} ({error.detail})", remedy
        ) from error
    return str(user.get_name())[:CALLER_LENGTH]
