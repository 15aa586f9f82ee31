"""The prediction application inside Airflow's api-server, behind Airflow's login and roles.

Every process of Airflow reads the plugins, and only the api-server should pay for the application:
it is built beside the requests once a server has started, or at the first of them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from model_loop.orchestration.lazy import lazy_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

URL_PREFIX = "/model-loop"
_APPLICATION = "model_loop.orchestration.web.application"


class LazyApp:
    """An ASGI application that builds the real one when it is first asked.

    Parameters
    ----------
    build
        Makes the real one.
    """

    def __init__(self, build: Callable[[], ASGIApp] | None = None) -> None:
        self._make = build or lazy_function(_APPLICATION, "make_airflow_app")
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
            # The first request tries again, and gets the error.
            logger.exception("The prediction application cannot be built")

    def _build(self) -> ASGIApp:
        with self._building:
            # A thread that has waited for the lock finds it built.
            self._app = self._app or self._make()
            return self._app


class WarmOnStart:
    """Middleware that has an application built as soon as its server answers.

    Airflow does not notify mounted applications that it has started, but the application around
    them. Requests pass through untouched.

    Parameters
    ----------
    app
        Application around the built one.
    lazy
        Function that builds it.
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
